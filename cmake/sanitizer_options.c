/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* In every program under a sanitizer: LLVM is not built with it and takes
 * memory that our code, with LLVM's inlined, has marked as not in use. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allow_user_poisoning=0"; }
