/*===- moe_rt.h - Run compiled MoE models ----------------------- -*- C -*-===*/
/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*===----------------------------------------------------------------------===*/
/* A module is a compiled model, parameters are its weights, a session is what
 * one caller needs to run it (arena, KV cache, threads). Modules and parameters
 * are immutable: any number of sessions and threads may share them. A session
 * is used by one thread at a time; different sessions run at the same time.
 *
 * Every function returns a status; results are trailing pointers, untouched on
 * failure. moe_rt_last_error() says in words what went wrong. The runtime never
 * prints, exits, aborts or installs signal handlers. */
#ifndef MOE_RT_H
#define MOE_RT_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define MOE_RT_VERSION_MAJOR 0
#define MOE_RT_VERSION_MINOR 1
#define MOE_RT_MAX_RANK 8
#if defined(__GNUC__)
#define MOE_RT_API __attribute__((visibility("default")))
#else
#define MOE_RT_API
#endif

/** Status of a call; values are stable, new ones go at the end. */
typedef enum {
  MOE_RT_OK = 0,
  /** An argument of the call is wrong: NULL, a shape, a type, a value. */
  MOE_RT_INVALID_ARGUMENT = 1,
  /** A file, function or tensor does not exist. */
  MOE_RT_NOT_FOUND = 2,
  /** A file is damaged or not of the expected kind. */
  MOE_RT_BAD_FILE = 3,
  /** The module needs another runtime or a CPU feature that is missing. */
  MOE_RT_INCOMPATIBLE = 4,
  /** Parameters do not fit the module: missing, other shape, other type. */
  MOE_RT_MISMATCH = 5,
  MOE_RT_OUT_OF_MEMORY = 6,
  /** An output buffer is too small, or the KV cache is full. */
  MOE_RT_TOO_SMALL = 7,
  /** The session is in use by another thread. */
  MOE_RT_BUSY = 8,
  /** The system refused an operation (read, map, start a thread). */
  MOE_RT_IO = 9,
  /** The driver, the GPU or code for it is missing. */
  MOE_RT_NO_DEVICE = 10,
  /** The GPU or its driver failed. Where its context is lost with that (an
   * illegal address, say), every later call of the session fails the same. */
  MOE_RT_DEVICE_ERROR = 11
} moe_rt_status;

/** Element types. */
typedef enum {
  MOE_RT_F32 = 0,
  MOE_RT_F16 = 1,
  MOE_RT_BF16 = 2,
  MOE_RT_I32 = 3,
  MOE_RT_I64 = 4,
  MOE_RT_F64 = 5,
  MOE_RT_U8 = 6
} moe_rt_dtype;

/** A tensor in the caller's memory, field for field a DLTensor of DLPack
 * (device_type 1 = CPU, 2 = CUDA with the GPU's number as device_id; dtype_code
 * 0 int, 1 uint, 2 float, 4 bfloat). */
typedef struct moe_rt_tensor {
  void *data;
  int32_t device_type, device_id;
  int32_t ndim;
  uint8_t dtype_code, dtype_bits;
  uint16_t dtype_lanes;
  int64_t *shape;
  int64_t *strides; /* NULL: dense row-major; anything else must be that too */
  uint64_t byte_offset;
} moe_rt_tensor;

typedef struct moe_rt_module moe_rt_module;
typedef struct moe_rt_params moe_rt_params;
typedef struct moe_rt_session moe_rt_session;

/** Text for the last failure on this thread, naming file and tensor or field;
 * valid until the next call on this thread. Never NULL. */
MOE_RT_API const char *moe_rt_last_error(void);

/** "0.1.0" and so on; static storage. */
MOE_RT_API const char *moe_rt_version(void);

/** Name of a status, such as "MOE_RT_OK"; static storage. */
MOE_RT_API const char *moe_rt_status_name(moe_rt_status status);

/** Fills in a dense CPU tensor. `shape` must live as long as the tensor. */
MOE_RT_API moe_rt_tensor moe_rt_make_tensor(void *data, moe_rt_dtype dtype,
                                            int32_t ndim, int64_t *shape);

/*===----------------------------------------------------------------------===*/
/* Modules */
/*===----------------------------------------------------------------------===*/

typedef struct moe_rt_options {
  uint32_t struct_size; /* sizeof(moe_rt_options) */
  /** Highest x86-64 level to use, 3 or 4; 0: what this CPU has. */
  uint32_t max_level;
  /** "cpu" (NULL too), or "cuda:N": GPU number N of the CUDA driver, whose
   * primary context is used; "cuda" is "cuda:0". Parameters and sessions of the
   * module live there. The other code in the file stays as good as before:
   * open it once more for another device. */
  const char *device;
  /** The CUDA driver's library; NULL: "libcuda.so.1". It is loaded only for a
   * GPU. */
  const char *cuda_driver;
} moe_rt_options;

/** Opens the compiled module at `path`. The file is checked (kind, length,
 * hash, ABI, CPU) before any of its code is loaded; weights are not read yet.
 * For a GPU its kernels are loaded as well: none of them is looked for later.
 * A program made with --emit=exe is MOE_RT_INCOMPATIBLE: it cannot be loaded.
 * Release with moe_rt_module_close(). Any thread may call this.
 * \param options  NULL for the defaults.
 * \returns MOE_RT_OK; MOE_RT_NOT_FOUND, MOE_RT_BAD_FILE, MOE_RT_INCOMPATIBLE,
 *     MOE_RT_OUT_OF_MEMORY, MOE_RT_IO; for a GPU MOE_RT_NO_DEVICE (no driver,
 *     too old a driver, no such GPU, no code for it) and MOE_RT_DEVICE_ERROR
 *     too. */
MOE_RT_API moe_rt_status moe_rt_module_open(const char *path,
                                            const moe_rt_options *options,
                                            moe_rt_module **module);

/** moe_library_query() of a module that is linked into a program. */
typedef const struct moe_abi_library *(*moe_rt_query)(uint32_t abi_major,
                                                      uint32_t level);

/** Opens the module that is linked into this program; `query` is its
 * moe_library_query(). The program's own file, /proc/self/exe, is checked as
 * moe_rt_module_open() checks a library, and nothing is loaded. Release with
 * moe_rt_module_close(). Any thread may call this.
 * \param options  NULL for the defaults.
 * \returns as moe_rt_module_open(); MOE_RT_NOT_FOUND without /proc. */
MOE_RT_API moe_rt_status moe_rt_module_open_linked(
    moe_rt_query query, const moe_rt_options *options, moe_rt_module **module);

/** Drops the caller's reference; parameters and sessions keep their own. NULL
 * is allowed. */
MOE_RT_API void moe_rt_module_close(moe_rt_module *module);

/** What is in the module as JSON text, owned by the module. */
MOE_RT_API moe_rt_status moe_rt_module_describe(const moe_rt_module *module,
                                                const char **json);

/** Reads the manifest of `path` as JSON text without loading the code, so it
 * works on machines that cannot run it. Release with moe_rt_free(). */
MOE_RT_API moe_rt_status moe_rt_describe_file(const char *path, char **json);
MOE_RT_API void moe_rt_free(void *memory);

typedef enum {
  MOE_RT_INPUT = 0,
  MOE_RT_OUTPUT = 1,
  MOE_RT_OPTIONAL_OUTPUT = 2
} moe_rt_role;

/** One tensor that a function takes or gives. Strings belong to the module. */
typedef struct moe_rt_argument_info {
  const char *name;
  moe_rt_role role;
  moe_rt_dtype dtype;
  int32_t ndim;
  /** >= 0: that size; < 0: differs from call to call. */
  int64_t shape[MOE_RT_MAX_RANK];
  /** Name of a size that differs ("B", "S", "T"), else NULL. */
  const char *symbol[MOE_RT_MAX_RANK];
  /** Such a size is this many times the symbol. */
  int64_t multiple[MOE_RT_MAX_RANK];
  /** Integer inputs: values lie in [0, limit); 0: any. */
  int64_t limit;
  /** Nonzero: the first size is a bound, the call returns how much is used. */
  int32_t is_bounded;
} moe_rt_argument_info;

/** Number of inputs and of outputs (optional ones last) of a function.
 * \returns MOE_RT_OK, MOE_RT_NOT_FOUND. */
MOE_RT_API moe_rt_status moe_rt_function_counts(const moe_rt_module *module,
                                                const char *function,
                                                size_t *num_inputs,
                                                size_t *num_outputs);
MOE_RT_API moe_rt_status moe_rt_function_input(const moe_rt_module *module,
                                               const char *function,
                                               size_t index,
                                               moe_rt_argument_info *info);
MOE_RT_API moe_rt_status moe_rt_function_output(const moe_rt_module *module,
                                                const char *function,
                                                size_t index,
                                                moe_rt_argument_info *info);

/** Sizes of the vocabulary and of the longest sequence; 0 where the model has
 * none. */
MOE_RT_API moe_rt_status moe_rt_module_limits(const moe_rt_module *module,
                                              int64_t *vocab_size,
                                              int64_t *max_length);

/*===----------------------------------------------------------------------===*/
/* Parameters */
/*===----------------------------------------------------------------------===*/

typedef struct moe_rt_params_options {
  uint32_t struct_size;
  /** Threads that lay weights out; 0: as many as this process may use. */
  int32_t num_threads;
  /** Called now and then while weights are laid out, from the calling thread;
   * may be NULL. */
  void (*progress)(void *user, size_t done, size_t total);
  void *user;
} moe_rt_params_options;

/** Maps the safetensors files of `source` (a directory with model.safetensors
 * or model.safetensors.index.json, or one file) and lays the weights out as the
 * module wants them. `source` may also be "synthetic:SEED": normal values of
 * standard deviation 1/sqrt(columns) from a counter-based generator.
 * For a GPU weights are laid out on the CPU, one parameter at a time, and
 * copied: host memory for the largest parameter is needed.
 * Release with moe_rt_params_close().
 * \returns MOE_RT_OK; MOE_RT_NOT_FOUND, MOE_RT_BAD_FILE, MOE_RT_MISMATCH,
 *     MOE_RT_OUT_OF_MEMORY, MOE_RT_IO. */
MOE_RT_API moe_rt_status moe_rt_params_open(
    moe_rt_module *module, const char *source,
    const moe_rt_params_options *options, moe_rt_params **params);
MOE_RT_API void moe_rt_params_close(moe_rt_params *params);

/*===----------------------------------------------------------------------===*/
/* Sessions */
/*===----------------------------------------------------------------------===*/

/** An embedder's thread pool. `parallel_for` runs fn(argument, i) for all i in
 * [0, n), on any threads, and returns when all have ended. */
typedef struct moe_rt_executor {
  uint32_t struct_size;
  void *user;
  void (*parallel_for)(void *user, void (*fn)(void *argument, int64_t i),
                       void *argument, int64_t n);
  /** How many of them may run at once, at least 1. */
  int32_t (*concurrency)(void *user);
} moe_rt_executor;

typedef struct moe_rt_session_options {
  uint32_t struct_size;
  /** Threads of the default pool; 0: as many as this process may use (affinity
   * and cgroup quota). */
  int32_t num_threads;
  /** Rows and tokens per row that the KV cache holds; 0: one row, and the
   * model's longest sequence but at most 4096. */
  int64_t max_batch, max_length;
  /** NULL: the default pool. Must outlive the session. */
  const moe_rt_executor *executor;
  /** Of a module on a GPU: the CUstream that calls go to, of the GPU's primary
   * context; it must outlive the session. NULL: one of the session's own. */
  void *stream;
} moe_rt_session_options;

/** Makes a session. `params` may be NULL for a module without parameters.
 * Release with moe_rt_session_close(). */
MOE_RT_API moe_rt_status moe_rt_session_create(
    moe_rt_module *module, moe_rt_params *params,
    const moe_rt_session_options *options, moe_rt_session **session);
MOE_RT_API void moe_rt_session_close(moe_rt_session *session);

/** Runs a function. `inputs` and `outputs` are in the order of
 * moe_rt_function_input() and _output(). Everything is checked: device, type,
 * rank, sizes, layout, values of ids. An optional output with data NULL is not
 * computed. An output whose first size is a bound gets the used size written
 * into its shape; its buffer must hold the bound. A session's arena grows on
 * demand and is kept.
 * Functions with a KV cache ("prefill", "decode") append S tokens, at least
 * one, to each of the B rows, all rows of the batch at once.
 *
 * On a GPU, tensors may lie in host memory (they are copied) or in its own
 * memory (device_type 2; used in place, so 16-byte aligned), some here, some
 * there. The call returns when its work is done, except with a stream of the
 * caller's, device tensors alone and no bounded output: then the work is in the
 * stream when the call returns, and what fails later is what the session's next
 * call returns. Input values in device memory that have a limit are copied back
 * and checked before the call; that waits for the stream.
 *
 * The caller may capture such a call into a CUDA graph, once the same call with
 * the same sizes has been made outside a capture (so that all memory is there;
 * otherwise MOE_RT_INVALID_ARGUMENT). Values with a limit are not checked then,
 * neither now nor when the graph runs. A replay reads the tensors that were
 * captured, and appends to the KV cache at the lengths that the session has at
 * that time; the call does not count the tokens while it is captured, and
 * cannot see the replays: see moe_rt_session_advance().
 * \returns MOE_RT_OK; MOE_RT_NOT_FOUND, MOE_RT_INVALID_ARGUMENT,
 *     MOE_RT_TOO_SMALL (buffer or cache), MOE_RT_OUT_OF_MEMORY, MOE_RT_BUSY;
 *     MOE_RT_DEVICE_ERROR (sticky), MOE_RT_BAD_FILE (a launch that cannot
 *     be). */
MOE_RT_API moe_rt_status moe_rt_run(moe_rt_session *session,
                                    const char *function,
                                    const moe_rt_tensor *inputs,
                                    size_t num_inputs, moe_rt_tensor *outputs,
                                    size_t num_outputs);

/** Shape that output `index` would need for these inputs (bounds included):
 * `shape` has room for MOE_RT_MAX_RANK sizes. */
MOE_RT_API moe_rt_status moe_rt_output_shape(const moe_rt_session *session,
                                             const char *function,
                                             const moe_rt_tensor *inputs,
                                             size_t num_inputs, size_t index,
                                             int32_t *ndim, int64_t *shape);

/** Bytes of arena that a call with these inputs needs. */
MOE_RT_API moe_rt_status moe_rt_workspace_size(const moe_rt_session *session,
                                               const char *function,
                                               const moe_rt_tensor *inputs,
                                               size_t num_inputs,
                                               size_t *size_bytes);

/** Tokens of `row` in the KV cache. */
MOE_RT_API moe_rt_status moe_rt_session_length(const moe_rt_session *session,
                                               int64_t row, int64_t *length);

/** Counts `num_tokens` more in each row: a replay of a captured call appended
 * them. Waits for the stream first, so that no replay in it meets the new
 * lengths. A session on a GPU alone.
 * \returns MOE_RT_OK; MOE_RT_INVALID_ARGUMENT, MOE_RT_TOO_SMALL, MOE_RT_BUSY,
 *     MOE_RT_DEVICE_ERROR. */
MOE_RT_API moe_rt_status moe_rt_session_advance(moe_rt_session *session,
                                                int64_t num_tokens);

/** Forgets all but the first `length` tokens of `row`; row -1: of all rows. */
MOE_RT_API moe_rt_status moe_rt_session_truncate(moe_rt_session *session,
                                                 int64_t row, int64_t length);

#ifdef __cplusplus
}
#endif
#endif /* MOE_RT_H */
