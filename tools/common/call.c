//===- call.c - Calls of one function -------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "tool.h"
#include <stdlib.h>
#include <string.h>

int tool_call_open(const moe_rt_module *module, const char *function,
                   tool_call *call) {
  memset(call, 0, sizeof(*call));
  call->function = function;
  size_t inputs, outputs;
  moe_rt_status status =
      moe_rt_function_counts(module, function, &inputs, &outputs);
  if (status)
    return tool_fail(status, NULL);
  // One more, so that none of them asks for zero bytes.
  call->input_infos = calloc(inputs + 1, sizeof(*call->input_infos));
  call->output_infos = calloc(outputs + 1, sizeof(*call->output_infos));
  call->inputs = calloc(inputs + 1, sizeof(*call->inputs));
  call->outputs = calloc(outputs + 1, sizeof(*call->outputs));
  call->input_views = calloc(inputs + 1, sizeof(*call->input_views));
  call->output_views = calloc(outputs + 1, sizeof(*call->output_views));
  call->wanted = calloc(outputs + 1, sizeof(*call->wanted));
  if (!call->input_infos || !call->output_infos || !call->inputs ||
      !call->outputs || !call->input_views || !call->output_views ||
      !call->wanted)
    return tool_out_of_memory();
  call->num_inputs = inputs;
  call->num_outputs = outputs;
  for (size_t i = 0; i < inputs; i++) {
    status = moe_rt_function_input(module, function, i, &call->input_infos[i]);
    if (status)
      return tool_fail(status, NULL);
    call->inputs[i].name = call->input_infos[i].name;
    call->inputs[i].dtype = call->input_infos[i].dtype;
    call->inputs[i].rank = call->input_infos[i].ndim;
  }
  for (size_t i = 0; i < outputs; i++) {
    status =
        moe_rt_function_output(module, function, i, &call->output_infos[i]);
    if (status)
      return tool_fail(status, NULL);
    call->outputs[i].name = call->output_infos[i].name;
    call->outputs[i].dtype = call->output_infos[i].dtype;
    call->outputs[i].rank = call->output_infos[i].ndim;
    call->wanted[i] = call->output_infos[i].role == MOE_RT_OUTPUT;
  }
  return TOOL_OK;
}

void tool_call_close(tool_call *call) {
  moe_rt_session_close(call->session);
  for (size_t i = 0; i < call->num_inputs; i++)
    tool_tensor_free(&call->inputs[i]);
  for (size_t i = 0; i < call->num_outputs; i++)
    tool_tensor_free(&call->outputs[i]);
  free(call->input_infos);
  free(call->output_infos);
  free(call->inputs);
  free(call->outputs);
  free(call->input_views);
  free(call->output_views);
  free(call->wanted);
  memset(call, 0, sizeof(*call));
}

int tool_call_shape(tool_call *call, size_t output, const char *file) {
  tool_tensor *tensor = &call->outputs[output];
  tool_tensor_free(tensor);
  moe_rt_status status = moe_rt_output_shape(
      call->session, call->function, call->input_views, call->num_inputs,
      output, &tensor->rank, tensor->shape);
  return status ? tool_fail(status, file) : TOOL_OK;
}

int tool_call_allocate(tool_call *call, const char *file) {
  for (size_t i = 0; i < call->num_inputs; i++)
    call->input_views[i] = tool_tensor_view(&call->inputs[i]);
  for (size_t i = 0; i < call->num_outputs; i++) {
    tool_tensor *output = &call->outputs[i];
    int code = tool_call_shape(call, i, file);
    if (code)
      return code;
    if (call->wanted[i] && !tool_tensor_alloc(output)) {
      tool_error("not enough memory for output '%s' of shape %s",
                 MOE_Q(output->name), TOOL_SHAPE(output->shape, output->rank));
      return TOOL_ENVIRONMENT;
    }
    call->output_views[i] = tool_tensor_view(output);
  }
  return TOOL_OK;
}

int tool_call_run(tool_call *call, const char *file) {
  moe_rt_status status =
      moe_rt_run(call->session, call->function, call->input_views,
                 call->num_inputs, call->output_views, call->num_outputs);
  return status ? tool_fail(status, file) : TOOL_OK;
}
