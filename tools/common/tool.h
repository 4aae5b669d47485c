//===- tool.h - What moe-run and moe-bench share ------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// Command lines, messages, standard output and tensors of the tools that link
/// the runtime alone.
//===----------------------------------------------------------------------===//
#ifndef MOE_TOOLS_COMMON_TOOL_H
#define MOE_TOOLS_COMMON_TOOL_H
#include "diag.h"
#include "json.h"
#include "moe_rt.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Exit codes of every tool.
enum {
  TOOL_OK = 0,
  TOOL_ERROR = 1,
  TOOL_USAGE = 2,
  TOOL_DIFFERS = 3,
  TOOL_ENVIRONMENT = 4,
  TOOL_INTERNAL = 70
};

//===----------------------------------------------------------------------===//
// Process
//===----------------------------------------------------------------------===//

/// Call first: opens closed standard streams on /dev/null, so that no file of
/// ours becomes one of them, and turns SIGPIPE and SIGXFSZ into write errors.
void tool_start(void);

/// One `error: ` line on stderr. Untrusted text must have gone through MOE_Q().
void tool_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/// The `error: ` line and the exit code of a failed call of the runtime.
/// `prefix` (a path, may be NULL) comes first.
int tool_fail(moe_rt_status status, const char *prefix);
/// The same for a failed call of its helper library.
int tool_fail_with(const moe_error *error);
int tool_exit_code(moe_rt_status status);

/// For moe_rt_options: empty texts are the defaults.
typedef struct {
  char name[16], driver[4096];
} tool_device;
/// Reads --device. "emulated-cuda" is a GPU of the emulator, whose library lies
/// beside the tool or where MOE_CUDA_EMULATOR says.
int tool_choose_device(const char *name, tool_device *device);
/// `error: out of memory` and its exit code.
int tool_out_of_memory(void);

/// Writes to standard output. A failure shows in tool_finish().
void tool_write(const char *bytes, size_t size);
void tool_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void tool_flush(void);
/// True once standard output no longer takes anything.
bool tool_output_failed(void);
/// Flushes standard output; the exit code `code`, or TOOL_ERROR if output was
/// lost (without a message if the reader went away).
int tool_finish(int code);

/// Prints "NAME VERSION ...".
void tool_print_version(const char *name);

/// Seconds of a monotonic clock.
double tool_now(void);

/// True if both exist and are one file.
bool tool_same_file(const char *a, const char *b);

//===----------------------------------------------------------------------===//
// Command line
//===----------------------------------------------------------------------===//

typedef struct {
  int64_t *values; // whoever declares the list frees them
  size_t count;
} tool_int_list;

typedef enum {
  TOOL_OPT_FLAG,     // bool: --quiet
  TOOL_OPT_STRING,   // const char *: --params=DIR
  TOOL_OPT_OPTIONAL, // const char *: --describe or --describe=json
  TOOL_OPT_INT,      // int64_t within [min, max]
  TOOL_OPT_REAL,     // double, finite and not below 0
  TOOL_OPT_INTS      // tool_int_list, each within [min, max]
} tool_option_kind;

/// One option, given as --name=value, --name value, or -x for a letter.
typedef struct {
  const char *name;
  char letter; // 0: none
  tool_option_kind kind;
  void *target;
  /// Shown where a value is missing or wrong: "DIR".
  const char *value;
  int64_t min, max;
  /// "json|md": the values of a string; NULL: any.
  const char *choices;
  bool *seen; // may be NULL
} tool_option;

/// Fills the targets. `positional` gets at most `max_positional` arguments.
/// \returns TOOL_OK, or TOOL_USAGE after an `error: ` line.
int tool_parse(const char *tool, const tool_option *options, size_t num_options,
               int argc, char **argv, const char **positional,
               size_t max_positional, size_t *num_positional);

/// Edits (insert, delete, replace, swap) that make `b` of `a`, at most `limit`.
unsigned tool_distance(const char *a, const char *b, unsigned limit);

/// The entry of `names` nearest to `name`, NULL if none is near.
const char *tool_nearest(const char *name, const char *const *names,
                         size_t count);

//===----------------------------------------------------------------------===//
// Modules
//===----------------------------------------------------------------------===//

/// The module's description, read back. Release with moe_json_free().
/// \returns TOOL_OK or an exit code after an `error: ` line.
int tool_describe(const moe_rt_module *module, const char *path,
                  moe_json_document **document);

/// `wanted`, or if NULL the module's `forward`, `layer` or first function. The
/// name lives as long as `document`.
int tool_choose_function(const char *path, const moe_json_document *document,
                         const char *wanted, const char **function);

/// Opens parameters; weights that take more than a second to lay out show their
/// progress on a terminal. `source` NULL: a module that needs none.
int tool_open_params(moe_rt_module *module, const char *source, int32_t threads,
                     bool quiet, moe_rt_params **params);

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

typedef struct {
  const char *name; // not owned
  moe_rt_dtype dtype;
  int32_t rank;
  int64_t shape[MOE_RT_MAX_RANK];
  void *data; // 64-byte aligned, owned; NULL: none
} tool_tensor;

/// Elements, or bytes with `of_bytes`; false on overflow.
bool tool_tensor_size(const tool_tensor *tensor, bool of_bytes, size_t *size);
/// Zeroed memory for shape and type; false when there is not enough.
bool tool_tensor_alloc(tool_tensor *tensor);
void tool_tensor_free(tool_tensor *tensor);
moe_rt_tensor tool_tensor_view(tool_tensor *tensor);
/// Element `i` of a tensor of any type; integers beyond 2^53 lose digits.
double tool_tensor_real(const void *data, moe_rt_dtype dtype, size_t i);
/// Element `i` of an integer tensor.
int64_t tool_tensor_int(const void *data, moe_rt_dtype dtype, size_t i);
bool tool_is_integer(moe_rt_dtype dtype);
/// "f32".
const char *tool_dtype_name(moe_rt_dtype dtype);

/// "[2, 11, 101]".
typedef struct {
  char text[192];
} tool_shape_text;
const char *tool_format_shape(tool_shape_text *text, const int64_t *shape,
                              int32_t rank);
#define TOOL_SHAPE(shape, rank)                                                \
  tool_format_shape(&(tool_shape_text){{0}}, (shape), (rank))

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

/// A function with its inputs and outputs.
typedef struct {
  const char *function;
  moe_rt_session *session; // owned
  size_t num_inputs, num_outputs;
  moe_rt_argument_info *input_infos, *output_infos;
  tool_tensor *inputs, *outputs;
  moe_rt_tensor *input_views, *output_views;
  /// Outputs to compute; required ones always are.
  bool *wanted;
} tool_call;

/// Asks the module what `function` takes and gives. Release with
/// tool_call_close() (after a failure too).
int tool_call_open(const moe_rt_module *module, const char *function,
                   tool_call *call);
void tool_call_close(tool_call *call);
/// Finds the shape of an output, once the views of the inputs are set; what the
/// tensor held is gone. `file`: as below.
int tool_call_shape(tool_call *call, size_t output, const char *file);
/// Makes room for the wanted outputs, once the inputs are there. `file` (may be
/// NULL) says where those come from.
int tool_call_allocate(tool_call *call, const char *file);
int tool_call_run(tool_call *call, const char *file);

#endif // MOE_TOOLS_COMMON_TOOL_H
