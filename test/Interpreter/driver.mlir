// Arguments and results in files, by name.
// RUN: rm -rf %t && mkdir %t
// RUN: %python %S/Inputs/st.py write %t/in.safetensors x F32 2x2 1,2,3,4 \
// RUN:     ids I64 2 1,0 unused I32 1 7 other F32 1x2 5,6
// RUN: %python %S/Inputs/st.py write %t/model.safetensors w0 BF16 2x2 1,0,0,1 \
// RUN:     w1 BF16 2x2 2,0,0,2 v F16 2 0.5,1
// RUN: moe-opt %s --interpret=f --input=%t/in.safetensors --params=%t \
// RUN:     --output=%t/out.safetensors
// RUN: %python %S/Inputs/st.py show %t/out.safetensors | FileCheck %s
// CHECK:      y F32 [2, 2] [2.5, 5.0, 6.5, 9.0]
// CHECK-NEXT: list I64 [1] [1]
// CHECK-NOT:  {{.}}

// The same bytes again; the same numbers in f64 and after passes.
// RUN: moe-opt %s --interpret=f --input=%t/in.safetensors --params=%t/model.safetensors \
// RUN:     --output=%t/again.safetensors --interpret-real=f64 --canonicalize \
// RUN:     --expect=%t/out.safetensors --rtol=0 --atol=0
// RUN: cmp %t/out.safetensors %t/again.safetensors

// T = 0, T = 1, and another name for an argument.
// RUN: %python %S/Inputs/st.py write %t/none.safetensors x F32 0x2 "" ids I64 2 1,0
// RUN: moe-opt %s --interpret=f --input=%t/none.safetensors --params=%t --output=%t/none.out
// RUN: %python %S/Inputs/st.py show %t/none.out | FileCheck %s --check-prefix=NONE
// NONE:      y F32 [0, 2] []
// NONE-NEXT: list I64 [0] []
// RUN: moe-opt %s --interpret=f --input=%t/in.safetensors,x=other --params=%t --output=%t/one.out
// RUN: %python %S/Inputs/st.py show %t/one.out | FileCheck %s --check-prefix=ONE
// ONE:      y F32 [1, 2] [10.5, 13.0]
// ONE-NEXT: list I64 [1] [0]

// Synthetic weights depend on the seed alone.
// RUN: moe-opt %s --interpret=f --input=%t/in.safetensors --params=synthetic:1 --output=%t/s1.out
// RUN: moe-opt %s --interpret=f --input=%t/in.safetensors --params=synthetic:1 --expect=%t/s1.out --rtol=0 --atol=0
// RUN: not moe-opt %s --interpret=f --input=%t/in.safetensors --params=synthetic:2 --expect=%t/s1.out

// A comparison that fails is exit 3 and names the worst element.
// RUN: %python %S/Inputs/st.py set %t/out.safetensors y 2 6.25 %t/bad.safetensors
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.safetensors --params=%t --expect=%t/bad.safetensors --output=%t/no.out; test $? = 3' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=DIFFERS
// RUN: not ls %t/no.out
// DIFFERS: error: {{.*}}bad.safetensors: tensor 'y' at [1, 0]: got 6.5, expected 6.25; 1 of 4 elements differ by more than 0.0001 + 0.0001 * |expected|
// RUN: %python %S/Inputs/st.py set %t/out.safetensors list 0 0 %t/bad.safetensors
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.safetensors --params=%t --expect=%t/bad.safetensors; test $? = 3' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=INTEGER
// INTEGER: tensor 'list' at [0]: got 1, expected 0; 1 of 1 elements differ
// RUN: %python %S/Inputs/st.py set %t/out.safetensors y 0 nan %t/bad.safetensors
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.safetensors --params=%t --expect=%t/bad.safetensors; test $? = 3' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=NAN
// NAN: tensor 'y' at [0, 0]: got 2.5, expected nan
// RUN: %python %S/Inputs/st.py set %t/in.safetensors x 3 nan %t/nan.safetensors
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/nan.safetensors --params=%t --expect=%t/out.safetensors; test $? = 3' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=GOTNAN
// GOTNAN: tensor 'y' at [1, {{[01]}}]: got {{-?}}nan, expected
// RUN: %python %S/Inputs/st.py write %t/bad.safetensors y F32 4 1,2,3,4
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.safetensors --params=%t --expect=%t/bad.safetensors; test $? = 3' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=SHAPE
// SHAPE: tensor 'y': got shape [2, 2], expected [4]
// RUN: %python %S/Inputs/st.py write %t/bad.safetensors z F32 1 1
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.safetensors --params=%t --expect=%t/bad.safetensors; test $? = 3' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=MISSING
// MISSING: bad.safetensors: tensor 'z' is not produced by function 'f'
// RUN: %python %S/Inputs/st.py write %t/bad.safetensors y I64 2x2 1,2,3,4
// RUN: sh -c 'moe-opt %s --interpret=f --input=%t/in.safetensors --params=%t --expect=%t/bad.safetensors; test $? = 3' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=DTYPE
// DTYPE: tensor 'y': got F32, expected I64

module attributes {moe.model = "mlir"} {
  // Two matrices, one per source; a vector.
  moe.parameter @w : tensor<2x2x2xbf16> from [
      #moe.source<"w1", tensor<2x2xbf16>, first = 1, count = 1, part = 0>,
      #moe.source<"w0", tensor<2x2xbf16>, first = 0, count = 1, part = 0>]
  moe.parameter @v : tensor<2xf16> from [
      #moe.source<"v", tensor<2xf16>, first = 0, count = 2, part = 0>]
  // y = (x w[1]^T) w[0]^T + v = 2 x + v. The list names the tokens whose second
  // element is at least 4: at most T.
  func.func @f(%x: tensor<?x2xf32> {moe.name = "x", moe.shape = ["T", 2]},
               %ids: tensor<2xi64> {moe.name = "ids", moe.shape = [2], moe.limit = 2 : i64})
      -> (tensor<?x2xf32> {moe.name = "y", moe.shape = ["T", 2]},
          tensor<?xi64> {moe.name = "list", moe.shape = ["T"], moe.count = "n", moe.optional},
          tensor<1xi64> {moe.name = "n", moe.shape = [1]}) {
    %w = moe.parameter_ref @w : tensor<2x2x2xbf16>
    %v = moe.parameter_ref @v : tensor<2xf16>
    %y = func.call @layer(%x, %w, %v) : (tensor<?x2xf32>, tensor<2x2x2xbf16>, tensor<2xf16>) -> tensor<?x2xf32>
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %t = tensor.dim %x, %c0 : tensor<?x2xf32>
    %four = arith.constant 4.0 : f32
    %none = arith.constant -1 : i32
    %first = arith.constant 0 : i32
    %i0 = tensor.empty(%t) : tensor<?x1xi32>
    %w0 = tensor.empty(%t) : tensor<?x1xf32>
    %i = scf.for %k = %c0 to %t step %c1 iter_args(%acc = %i0) -> tensor<?x1xi32> {
      %e = tensor.extract %x[%k, %c1] : tensor<?x2xf32>
      %big = arith.cmpf oge, %e, %four : f32
      %j = arith.select %big, %first, %none : i32
      %one = tensor.from_elements %j : tensor<1x1xi32>
      %next = tensor.insert_slice %one into %acc[%k, 0] [1, 1] [1, 1] : tensor<1x1xi32> into tensor<?x1xi32>
      scf.yield %next : tensor<?x1xi32>
    }
    %r:4 = moe.list_entries %i, %w0 experts = 1 : tensor<?x1xi32>, tensor<?x1xf32>
        -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
    return %y, %r#0, %r#3 : tensor<?x2xf32>, tensor<?xi64>, tensor<1xi64>
  }
  func.func private @layer(%x: tensor<?x2xf32>, %w: tensor<2x2x2xbf16>, %v: tensor<2xf16>) -> tensor<?x2xf32> {
    %w0 = tensor.extract_slice %w[0, 0, 0] [1, 2, 2] [1, 1, 1] : tensor<2x2x2xbf16> to tensor<2x2xbf16>
    %w1 = tensor.extract_slice %w[1, 0, 0] [1, 2, 2] [1, 1, 1] : tensor<2x2x2xbf16> to tensor<2x2xbf16>
    %a = nn.linear %x, %w1 : tensor<?x2xf32>, tensor<2x2xbf16> -> tensor<?x2xf32>
    %y = nn.linear %a, %w0 bias(%v : tensor<2xf16>) : tensor<?x2xf32>, tensor<2x2xbf16> -> tensor<?x2xf32>
    return %y : tensor<?x2xf32>
  }
}
