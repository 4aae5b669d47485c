// Every way in which files, shapes and values do not fit is one error line and
// exit 1; a wrong command line is exit 2.
// RUN: rm -rf %t && mkdir -p %t/ok %t/dtype %t/shape %t/missing
// RUN: %python %S/Inputs/st.py write %t/ok/model.safetensors w F32 2x2 1,2,3,4
// RUN: %python %S/Inputs/st.py write %t/dtype/model.safetensors w F16 2x2 1,2,3,4
// RUN: %python %S/Inputs/st.py write %t/shape/model.safetensors w F32 4x1 1,2,3,4
// RUN: %python %S/Inputs/st.py write %t/missing/model.safetensors other F32 1 1
// RUN: %python %S/Inputs/st.py write %t/in.st x F32 2x2 1,2,3,4 ids I64 2 0,4
// RUN: moe-opt %s --interpret=f --input=%t/in.st --params=%t/ok --output=%t/out.st

// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.st --params=%t/dtype; test $? = 1' 2>&1 | FileCheck %s --check-prefix=DTYPE
// DTYPE: error: {{.*}}: tensor 'w' is F16, expected F32
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.st --params=%t/shape; test $? = 1' 2>&1 | FileCheck %s --check-prefix=SHAPE
// SHAPE: error: {{.*}}: tensor 'w' has shape [4, 1], expected [2, 2]
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.st --params=%t/missing; test $? = 1' 2>&1 | FileCheck %s --check-prefix=MISSING
// MISSING: error: {{.*}}: tensor 'w' is missing
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.st; test $? = 1' 2>&1 | FileCheck %s --check-prefix=NOPARAMS
// NOPARAMS: no values are given for parameter 'w'
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.st --params=%t/nowhere; test $? = 1' 2>&1 | FileCheck %s --check-prefix=NODIR
// NODIR: error: {{.*}}nowhere
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.st --params=synthetic:x; test $? = 1' 2>&1 | FileCheck %s --check-prefix=SEED
// SEED: error: {{.*}}synthetic:

// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok; test $? = 1' 2>&1 | FileCheck %s --check-prefix=NOINPUT
// NOINPUT: error: function 'f' takes 'x': --input=FILE must be given
// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok --input=%t/nowhere.st; test $? = 1' 2>&1 | FileCheck %s --check-prefix=NOFILE
// NOFILE: error: {{.*}}nowhere.st
// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok --input=%t/in.st,x; test $? = 1' 2>&1 | FileCheck %s --check-prefix=RENAME
// RENAME: error: --input: expected NAME=TENSOR after the file, found 'x'
// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok --input=%t/in.st,x=y; test $? = 1' 2>&1 | FileCheck %s --check-prefix=NOTENSOR
// NOTENSOR: error: {{.*}}in.st: tensor 'y' is missing
// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok --input=%t/in.st,x=ids; test $? = 1' 2>&1 | FileCheck %s --check-prefix=INDTYPE
// INDTYPE: error: {{.*}}in.st: tensor 'ids' is I64, expected F32
// RUN: %python %S/Inputs/st.py write %t/bad.st x F32 2x3 1,2,3,4,5,6 ids I64 2 0,4
// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok --input=%t/bad.st; test $? = 1' 2>&1 | FileCheck %s --check-prefix=INSHAPE
// INSHAPE: error: {{.*}}bad.st: tensor 'x' has shape [2, 3], expected [T = 2, 2]
// RUN: %python %S/Inputs/st.py write %t/bad.st x F32 2x2 1,2,3,4 ids I64 3 0,4,1
// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok --input=%t/bad.st; test $? = 1' 2>&1 | FileCheck %s --check-prefix=SYMBOL
// SYMBOL: error: {{.*}}bad.st: tensor 'ids' has shape [3], expected [T = 2]
// RUN: %python %S/Inputs/st.py write %t/bad.st x F32 2x2 1,2,3,4 ids I64 2 0,5
// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok --input=%t/bad.st; test $? = 1' 2>&1 | FileCheck %s --check-prefix=LIMIT
// LIMIT: error: {{.*}}bad.st: tensor 'ids' holds 5, not in [0, 5)
// RUN: %python %S/Inputs/st.py write %t/bad.st x F32 2x2 1,2,3,4 ids I64 2 4294967296,0
// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok --input=%t/bad.st; test $? = 1' 2>&1 | FileCheck %s --check-prefix=WRAP
// WRAP: error: {{.*}}bad.st: tensor 'ids' holds 4294967296, not in [0, 5)
// RUN: printf 'abc' > %t/bad.st
// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok --input=%t/bad.st; test $? = 1' 2>&1 | FileCheck %s --check-prefix=BADFILE
// BADFILE: error: {{.*}}bad.st

// RUN: sh -c 'moe-opt %s --interpret=g --params=%t/ok --input=%t/in.st; test $? = 1' 2>&1 | FileCheck %s --check-prefix=NOFUNC
// NOFUNC: error: no function 'g' with a body in the module
// RUN: sh -c 'moe-opt %s --interpret=f --params=%t/ok --input=%t/in.st --output=%t/nowhere/out.st; test $? = 1' 2>&1 | FileCheck %s --check-prefix=OUTPUT
// OUTPUT: error: {{.*}}nowhere/out.st
// RUN: sh -c 'moe-opt %s --input=%t/in.st; test $? = 2' 2>&1 | FileCheck %s --check-prefix=ALONE
// ALONE: error: --input needs --interpret=FUNCTION
// RUN: sh -c 'moe-opt %s --interpret=f --interpret-real=f16; test $? = 2'
// RUN: sh -c 'moe-opt %s --interpret=f --no-such-flag; test $? = 2'
// RUN: sh -c 'moe-opt %t/nowhere.mlir --interpret=f; test $? = 1' 2>&1 | FileCheck %s --check-prefix=NOMODULE
// NOMODULE: error: {{.*}}nowhere.mlir

module {
  moe.parameter @w : tensor<2x2xf32> from [
      #moe.source<"w", tensor<2x2xf32>, first = 0, count = 2, part = 0>]
  func.func @f(%x: tensor<?x2xf32> {moe.name = "x", moe.shape = ["T", 2]},
               %ids: tensor<?xi64> {moe.name = "ids", moe.shape = ["T"], moe.limit = 5 : i64})
      -> (tensor<?x2xf32> {moe.name = "y", moe.shape = ["T", 2]}) {
    %w = moe.parameter_ref @w : tensor<2x2xf32>
    %y = nn.linear %x, %w : tensor<?x2xf32>, tensor<2x2xf32> -> tensor<?x2xf32>
    return %y : tensor<?x2xf32>
  }
}
