/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
#include "moe_rt.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(moe_rt_status status) {
  if (status == MOE_RT_OK)
    return;
  fprintf(stderr, "error: %s\n", moe_rt_last_error());
  exit(1);
}

/* Appends `n` tokens to the session's row; returns the likeliest next one. */
static int64_t next(moe_rt_session *session, const char *function, int64_t *ids,
                    int64_t n) {
  int64_t in_shape[] = {1, n}, out_shape[MOE_RT_MAX_RANK], count = 1, best = 0;
  moe_rt_tensor in = moe_rt_make_tensor(ids, MOE_RT_I64, 2, in_shape);
  int32_t rank;
  check(moe_rt_output_shape(session, function, &in, 1, 0, &rank, out_shape));
  for (int32_t d = 0; d < rank; d++)
    count *= out_shape[d];
  float *logits = malloc((size_t)count * sizeof(float));
  moe_rt_tensor out = moe_rt_make_tensor(logits, MOE_RT_F32, rank, out_shape);
  if (!logits)
    exit(1);
  check(moe_rt_run(session, function, &in, 1, &out, 1));
  const float *last = logits + count - out_shape[rank - 1];
  for (int64_t i = 1; i < out_shape[rank - 1]; i++)
    if (last[i] > last[best])
      best = i;
  free(logits);
  return best;
}

int main(int argc, char **argv) {
  if (argc != 4)
    return fprintf(stderr, "usage: %s MODULE WEIGHTS TEXT\n", argv[0]), 2;
  moe_rt_module *module;
  moe_rt_params *params;
  moe_rt_session *session;
  check(moe_rt_module_open(argv[1], NULL, &module));
  check(moe_rt_params_open(module, argv[2], NULL, &params));
  check(moe_rt_session_create(module, params, NULL, &session));
  int64_t length = (int64_t)strlen(argv[3]), *ids = calloc(length, sizeof *ids);
  for (int64_t i = 0; ids && i < length; i++)
    ids[i] = (unsigned char)argv[3][i];
  int64_t token = next(session, "prefill", ids, length);
  for (int i = 0; i < 64; i++) {
    putchar((int)token);
    if (i < 63)
      token = next(session, "decode", &token, 1);
  }
  putchar('\n');
  free(ids);
  moe_rt_session_close(session);
  moe_rt_params_close(params);
  moe_rt_module_close(module);
  return 0;
}
