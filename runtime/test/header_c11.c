//===- header_c11.c - The public headers compile alone --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe_rt.h"

#include "moe_abi.h"

// Values that compiled modules and callers rely on.
_Static_assert(MOE_RT_OK == 0 && MOE_RT_IO == 9 && MOE_RT_DEVICE_ERROR == 11,
               "statuses are stable");
_Static_assert((int)MOE_RT_F32 == (int)MOE_ABI_F32 &&
                   (int)MOE_RT_F16 == (int)MOE_ABI_F16 &&
                   (int)MOE_RT_BF16 == (int)MOE_ABI_BF16 &&
                   (int)MOE_RT_I32 == (int)MOE_ABI_I32 &&
                   (int)MOE_RT_I64 == (int)MOE_ABI_I64 &&
                   (int)MOE_RT_F64 == (int)MOE_ABI_F64 &&
                   (int)MOE_RT_U8 == (int)MOE_ABI_U8,
               "one numbering of types");
_Static_assert(MOE_RT_MAX_RANK == MOE_ABI_MAX_RANK, "one largest rank");
// DLTensor of DLPack 0.8 on a 64-bit machine.
_Static_assert(sizeof(moe_rt_tensor) == 48 &&
                   offsetof(moe_rt_tensor, device_type) == 8 &&
                   offsetof(moe_rt_tensor, ndim) == 16 &&
                   offsetof(moe_rt_tensor, dtype_code) == 20 &&
                   offsetof(moe_rt_tensor, shape) == 24 &&
                   offsetof(moe_rt_tensor, strides) == 32 &&
                   offsetof(moe_rt_tensor, byte_offset) == 40,
               "layout of a DLTensor");
_Static_assert(sizeof(moe_abi_manifest) == 184, "layout of the manifest");
_Static_assert(sizeof(moe_abi_argument) == 160, "layout of an argument");
_Static_assert(sizeof(moe_abi_function) == 32, "layout of a function");
_Static_assert(sizeof(moe_abi_param) == 56, "layout of a parameter");
_Static_assert(sizeof(moe_abi_source) == 96, "layout of a source");
_Static_assert(sizeof(moe_abi_kernel) == 56, "layout of a kernel");
_Static_assert(sizeof(moe_abi_image) == 16, "layout of an image");
_Static_assert(sizeof(moe_abi_device) == 40, "layout of a device");
_Static_assert(_Generic((moe_rt_query)0, moe_abi_query: 1, default: 0),
               "one type of query");

const char *header_c11(void);
const char *header_c11(void) { return moe_rt_version(); }
