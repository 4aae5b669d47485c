// Parameters from a checkpoint: plain in bf16 and f16, packed in panels.
// RUN: rm -rf %t && mkdir %t
// RUN: %python %S/Inputs/st.py write %t/model.safetensors \
// RUN:     gate F32 3x2 1,2,3,4,5,6 up F32 3x2 10,20,30,40,50,60 \
// RUN:     all BF16 2x2x1 1,2,3,-0.00390625 half F16 5 65504,0.00006103515625,0.000000059604644775390625,-1.5,inf \
// RUN:     pair0 BF16 4x1 1,2,3,4 pair1 BF16 4x1 10,20,30,40
// RUN: moe-opt %s --interpret=main --params=%t --output=%t/out
// RUN: %python %S/Inputs/st.py show %t/out | FileCheck %s
// A stack in one source; every f16 value is exact: largest, smallest normal,
// smallest subnormal, infinity.
// CHECK:      result0 F32 [1, 2] [3.0, -0.00390625]
// CHECK-NEXT: result1 F32 [5] [65504.0, 6.103515625e-05, 5.960464477539063e-08, -1.5, inf]
// Panels of 2 columns, 2 parts, K = 2: [p, k, (gate, gate, up, up)]; column 3
// does not exist and is 0.
// CHECK-NEXT: result2 F32 [1, 2, 2, 4] [1.0, 3.0, 10.0, 30.0, 2.0, 4.0, 20.0, 40.0, 5.0, 0.0, 50.0, 0.0, 6.0, 0.0, 60.0, 0.0]
// bf16: two vectors of two lanes share 32-bit words.
// CHECK-NEXT: result3 F32 [1, 1, 1, 8] [1.0, 3.0, 2.0, 4.0, 10.0, 30.0, 20.0, 40.0]
// The same product with packed weights.
// CHECK-NEXT: result4 F32 [1, 3] [33.0, 77.0, 121.0]

moe.parameter @all : tensor<2x2x1xbf16> from [
    #moe.source<"all", tensor<2x2x1xbf16>, first = 0, count = 2, part = 0>]
moe.parameter @half : tensor<5xf16> from [
    #moe.source<"half", tensor<5xf16>, first = 0, count = 5, part = 0>]
moe.parameter @glu : tensor<1x2x2x4xf32> from [
    #moe.source<"up", tensor<3x2xf32>, first = 0, count = 1, part = 1>,
    #moe.source<"gate", tensor<3x2xf32>, first = 0, count = 1, part = 0>]
    panels<columns = 3, parts = 2, lanes = 1, vectors = 2>
moe.parameter @pair : tensor<1x1x1x8xbf16> from [
    #moe.source<"pair0", tensor<4x1xbf16>, first = 0, count = 1, part = 0>,
    #moe.source<"pair1", tensor<4x1xbf16>, first = 0, count = 1, part = 1>]
    panels<columns = 4, parts = 2, lanes = 2, vectors = 2>

func.func @main() -> (tensor<1x2xf32>, tensor<5xf32>, tensor<1x2x2x4xf32>, tensor<1x1x1x8xf32>, tensor<1x3xf32>) {
  %one = arith.constant dense<1.0> : tensor<1x1xf32>
  %a = moe.parameter_ref @all : tensor<2x2x1xbf16>
  %s = tensor.extract_slice %a[1, 0, 0] [1, 2, 1] [1, 1, 1] : tensor<2x2x1xbf16> to tensor<2x1xbf16>
  %x = nn.linear %one, %s : tensor<1x1xf32>, tensor<2x1xbf16> -> tensor<1x2xf32>
  %h = moe.parameter_ref @half : tensor<5xf16>
  %hf = arith.extf %h : tensor<5xf16> to tensor<5xf32>
  %g = moe.parameter_ref @glu : tensor<1x2x2x4xf32>
  %p = moe.parameter_ref @pair : tensor<1x1x1x8xbf16>
  %pf = arith.extf %p : tensor<1x1x1x8xbf16> to tensor<1x1x1x8xf32>
  %ones = arith.constant dense<1.0> : tensor<1x2xf32>
  %y = moe.packed_matmul %ones, %g
      panels<columns = 3, parts = 2, lanes = 1, vectors = 2> tile_rows = 4
      : tensor<1x2xf32>, tensor<1x2x2x4xf32> -> tensor<1x3xf32> {
  ^bb0(%q: f32, %r: f32):
    %m = nn.add %q, %r : f32
    moe.yield %m : f32
  }
  return %x, %hf, %g, %pf, %y : tensor<1x2xf32>, tensor<5xf32>, tensor<1x2x2x4xf32>, tensor<1x1x1x8xf32>, tensor<1x3xf32>
}
