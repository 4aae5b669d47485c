/*===- moe_abi.h - What modules and the runtime agree on -------- -*- C -*-===*/
/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*===----------------------------------------------------------------------===*/
/* Layout of the manifest (an ELF note readable without loading the file) and of
 * the table behind the one exported symbol of a compiled library. The compiler
 * writes what this header says, the runtime reads it; it is the only thing that
 * the two share. All integers are little endian. */
#ifndef MOE_ABI_H
#define MOE_ABI_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define MOE_ABI_NOTE_SECTION ".note.moe"
#define MOE_ABI_NOTE_OWNER "moe" /* n_namesz = 4 with the NUL */
#define MOE_ABI_NOTE_TYPE 1u
#define MOE_ABI_MAGIC 0x31544f4145454f4dull /* "MOEEAOT1", little endian */
#define MOE_ABI_MAJOR 3u
#define MOE_ABI_MINOR 0u
#define MOE_ABI_MAX_RANK 8
#define MOE_ABI_MAX_MAP_RANK 5
#define MOE_ABI_NONE 0xffffffffu

/*===----------------------------------------------------------------------===*/
/* Manifest */
/*===----------------------------------------------------------------------===*/

/** Bytes `offset` to `offset + size` of the manifest; no NUL at the end. */
typedef struct {
  uint32_t offset, size;
} moe_abi_string;

/** `count` structs from byte `offset` of the manifest on. */
typedef struct {
  uint32_t offset, count;
} moe_abi_table;

/** Element types; values are stable. */
enum {
  MOE_ABI_F32 = 0,
  MOE_ABI_F16 = 1,
  MOE_ABI_BF16 = 2,
  MOE_ABI_I32 = 3,
  MOE_ABI_I64 = 4,
  MOE_ABI_F64 = 5,
  MOE_ABI_U8 = 6
};

/** What an argument of a function is for. */
enum {
  MOE_ABI_INPUT = 0,
  MOE_ABI_OUTPUT = 1,
  /** Computed only when the caller passes a buffer for it. */
  MOE_ABI_OPTIONAL_OUTPUT = 2,
  /** Zero at first, kept by the session from call to call (a KV cache). */
  MOE_ABI_STATE = 3,
  /** int64 per batch row: tokens already in the session's state. */
  MOE_ABI_LENGTHS = 4,
  /** One int64 that the function writes: entries in use of bounded outputs. */
  MOE_ABI_COUNT = 5
};

/** A size: `value`, or `value` times symbol number `symbol` of the module. */
typedef struct {
  uint32_t symbol; /* MOE_ABI_NONE: `value` alone */
  uint32_t reserved;
  int64_t value;
} moe_abi_extent;

typedef struct {
  moe_abi_string name;
  uint32_t role, dtype, rank;
  /** Argument (index within the function) that holds how many entries of the
   * first dimension are in use, or MOE_ABI_NONE. The extent is then a bound. */
  uint32_t count_argument;
  /** Integer inputs: every value must lie in [0, limit); 0: any value. */
  int64_t limit;
  moe_abi_extent extents[MOE_ABI_MAX_RANK];
} moe_abi_argument;

/** Slots of a call: one int64 per symbol of the module, then one pointer per
 * argument (dense row-major data, 64-byte aligned where the runtime owns it),
 * then the arena, 64-byte aligned. */
typedef struct {
  moe_abi_string name;
  uint32_t first_argument, num_arguments;
  /** Index in moe_abi_library.functions. Leaves optional outputs alone. */
  uint32_t code;
  /** As `code`, but writes every optional output; MOE_ABI_NONE if there is
   * none to write. All their pointers must be valid. */
  uint32_t code_full;
  /** Writes the bytes of arena that `code`, `code_full` need into the slot
   * after the last argument; reads only symbols. MOE_ABI_NONE: no arena. */
  uint32_t arena, arena_full;
} moe_abi_function;

/** One tensor of the checkpoint that goes into a parameter. */
typedef struct {
  moe_abi_string tensor;
  uint32_t dtype, rank;
  uint64_t extents[MOE_ABI_MAX_RANK];
  /** Where in the parameter: leading index (an expert) and which of the
   * matrices that share one packing (0: gate, 1: up). `count` leading indices
   * are in this tensor. */
  uint32_t first, count, part, reserved;
} moe_abi_source;

/** A parameter as the code wants it in memory. The parameters of the CPU's code
 * come first in their table, then those of each device. */
typedef struct {
  moe_abi_string name;
  /** Says the layout, for people and for the key of a packed file. */
  moe_abi_string layout[2];
  uint32_t first_source, num_sources;
  /** Bytes in memory, for the code of level 3 and 4; the same number twice for
   * a device. */
  uint64_t size[2];
  /** Index in moe_abi_library.functions of the code that lays one source out;
   * MOE_ABI_NONE: the sources' bytes one after another. Slots: pointer to the
   * parameter, pointer to the source (aligned to its element), `first`,
   * `count`, `part`. */
  uint32_t pack[2];
} moe_abi_param;

/** Dimensions that differ from call to call: B, S, T, N (KV capacity), ... A
 * name such as "B*S" is the product of two symbols listed before it. */
typedef struct {
  moe_abi_string name;
} moe_abi_symbol;

/** One kernel of a device's code, as ptxas reports it. */
typedef struct {
  moe_abi_string name;
  uint32_t num_arguments;
  /** Threads per block, blocks per cluster (1, 1, 1: no cluster). */
  uint32_t block[3], cluster[3];
  /** Bytes of shared memory: in the image, and to ask for when launching. */
  uint32_t static_shared, dynamic_shared;
  /** Registers per thread; 0: not known, there is PTX only. */
  uint32_t registers;
  /** MOE_ABI_KERNEL_... */
  uint32_t flags;
  /** Blocks that a multiprocessor holds at once, of a kernel whose blocks take
   * work until there is none: the runtime launches no more along x than the
   * device holds. 0: the grid is launched as it is. */
  uint32_t resident_blocks;
} moe_abi_kernel;

/** May start before the kernel in front of it has ended: it waits itself
 * (programmatic dependent launch). */
#define MOE_ABI_KERNEL_OVERLAPS 1u
/** Adds in no fixed order: equal inputs may give other last bits. */
#define MOE_ABI_KERNEL_UNORDERED 2u

/** What the driver loads: one of these holds all kernels of a device. */
enum { MOE_ABI_IMAGE_CUBIN = 0, MOE_ABI_IMAGE_PTX = 1 };
typedef struct {
  uint32_t kind;
  uint32_t reserved;
  moe_abi_string bytes; /* PTX has a NUL behind it, which is not counted */
} moe_abi_image;

/** Code for one kind of GPU. */
typedef struct {
  moe_abi_string name; /* "sm_90a" */
  /** 80 or 90: compute capability times ten; moe_library_query() knows the
   * code that launches this device's kernels by this number as level. */
  uint32_t level;
  /** Nonzero: runs on exactly this compute capability, not on later ones. */
  uint32_t exact;
  uint32_t first_param, num_params;
  uint32_t first_kernel, num_kernels;
  /** In the order in which they are to be tried. */
  uint32_t first_image, num_images;
} moe_abi_device;

/** Start of the note's descriptor. Offsets count from here. */
typedef struct {
  uint64_t magic;
  uint32_t abi_major, abi_minor;
  uint64_t manifest_size;  /* bytes of the descriptor */
  uint64_t file_size;      /* zero while hashing */
  uint8_t sha256[32];      /* of the file with file_size and this field zero */
  moe_abi_string target;   /* "x86_64-unknown-linux-gnu" */
  moe_abi_string compiler; /* name, version and LLVM version */
  moe_abi_string model;    /* "mixtral", "moe_layer", "mlir" */
  uint32_t levels;         /* bit 0: x86-64-v3 code inside, bit 1: x86-64-v4 */
  uint32_t reserved;
  moe_abi_table symbols, functions, arguments, params, sources;
  /** Most tokens of one sequence that the model was made for; 0: no limit. */
  int64_t max_length;
  /** Entries of the vocabulary; 0: not a language model. */
  int64_t vocab_size;
  moe_abi_table devices, kernels, images;
  /** Parameters of the CPU's code: the first ones of `params`. */
  uint32_t num_cpu_params;
  uint32_t reserved2;
} moe_abi_manifest;

/*===----------------------------------------------------------------------===*/
/* Code */
/*===----------------------------------------------------------------------===*/

struct moe_abi_context;

/** Iterations [begin, end) of a parallel loop. */
typedef void (*moe_abi_body)(struct moe_abi_context *context, void *data,
                             int64_t begin, int64_t end);

/** A tensor in device memory as the GPU's tensor memory access unit sees it.
 * Dimension 0 is the innermost; strides are in bytes, that of dimension 0 is
 * the element's size and not listed. */
typedef struct {
  uint64_t address;
  uint32_t dtype, rank;
  uint64_t extents[MOE_ABI_MAX_MAP_RANK];
  uint64_t strides[MOE_ABI_MAX_MAP_RANK - 1];
  uint32_t box[MOE_ABI_MAX_MAP_RANK];
  /** Bytes: 0, 32, 64 or 128. */
  uint32_t swizzle;
} moe_abi_tensor_map;

/** One launch. */
typedef struct {
  /** Number within the device's kernels. */
  uint32_t kernel;
  uint32_t num_arguments;
  /** Blocks; nothing is launched where one of them is 0. */
  uint64_t grid[3];
  /** Where each argument's value lies, NULL where `maps` has it. */
  void *const *arguments;
  /** One pointer per argument, NULL where it is plain; or NULL: all are. */
  const moe_abi_tensor_map *const *maps;
} moe_abi_launch;

/** What generated code may ask for: a library imports nothing and owns no
 * writable memory. */
typedef struct moe_abi_context {
  /** Runs `body` on disjoint ranges covering [0, n), returns when all ended. */
  void (*parallel_for)(struct moe_abi_context *context, moe_abi_body body,
                       void *data, int64_t n);
  /** One pointer per parameter of this code's target; device memory where the
   * code launches kernels. */
  void *const *params;
  /** Puts a kernel into the session's queue. After a failure, which the
   * runtime keeps for the caller, it does nothing. NULL for the CPU's code. */
  void (*launch)(struct moe_abi_context *context, const moe_abi_launch *launch);
} moe_abi_context;

typedef void (*moe_abi_code)(moe_abi_context *context, uint64_t *slots);

typedef struct moe_abi_library {
  /* 3: x86-64-v3, 4: x86-64-v4; 80, 90: launches kernels of such a device. */
  uint32_t level;
  uint32_t num_functions;
  moe_abi_code functions[];
} moe_abi_library;

/** Code for a CPU of x86-64-v`level` (3 or 4) or the best that is inside below
 * it, or exactly the code of a device's level; NULL if the ABI is not
 * understood or nothing inside can run there. Code of a device runs on any
 * CPU of the target: pointers in its slots and params are the device's, and so
 * is the arena; its pack functions lay weights out in host memory. */
typedef const moe_abi_library *(*moe_abi_query)(uint32_t abi_major,
                                                uint32_t level);
#define MOE_ABI_QUERY "moe_library_query"

#ifdef __cplusplus
}
#endif
#endif /* MOE_ABI_H */
