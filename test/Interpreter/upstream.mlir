// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s

// Integers wrap to their width; division rounds as its op says.
// CHECK:      dense<[-2147483648, -3, 7]> : tensor<3xi32>
// CHECK-NEXT: {{.*}}dense<[-2, 2, -1]> : tensor<3xi64>
// CHECK-NEXT: {{.*}}dense<[-1, 1, 3]> : tensor<3xi64>
// CHECK-NEXT: {{.*}}arith.constant -4 : index
// CHECK-NEXT: {{.*}}arith.constant -3 : index
// CHECK-NEXT: {{.*}}arith.constant true
// CHECK-NEXT: {{.*}}arith.constant false
// CHECK-NEXT: return
func.func @main() -> (tensor<3xi32>, tensor<3xi64>, tensor<3xi64>, index, index, i1, i1) {
  %a = arith.constant dense<[2147483647, -4, 3]> : tensor<3xi32>
  %b = arith.constant dense<[1, 1, 4]> : tensor<3xi32>
  %s = arith.addi %a, %b : tensor<3xi32>
  %d = arith.constant dense<[-7, 7, 7]> : tensor<3xi64>
  %e = arith.constant dense<[3, 3, -4]> : tensor<3xi64>
  %q = arith.divsi %d, %e : tensor<3xi64>
  %r = arith.remsi %d, %e : tensor<3xi64>
  %m = arith.constant -7 : index
  %n = arith.constant 2 : index
  %f = arith.floordivsi %m, %n : index
  %c = arith.ceildivsi %m, %n : index
  %t = arith.cmpi slt, %f, %c : index
  %u = arith.cmpi ult, %f, %n : index
  return %s, %q, %r, %f, %c, %t, %u : tensor<3xi32>, tensor<3xi64>, tensor<3xi64>, index, index, i1, i1
}

// -----

// Sums over a loop, a branch, calls with values of their own.
// CHECK:      func.func @main() -> (index, f32
// CHECK-NEXT: {{.*}}arith.constant 10 : index
// CHECK-NEXT: {{.*}}arith.constant 1.000000e+00 : f32
// CHECK-NEXT: {{.*}}dense<4.000000e+00> : tensor<2xf32>
// CHECK-NEXT: return
func.func private @twice(%x: tensor<2xf32>, %n: index) -> (tensor<2xf32>, index) {
  %y = arith.addf %x, %x : tensor<2xf32>
  return %y, %n : tensor<2xf32>, index
}
func.func @main() -> (index, f32, tensor<2xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c5 = arith.constant 5 : index
  %s = scf.for %i = %c0 to %c5 step %c1 iter_args(%acc = %c0) -> index {
    %next = arith.addi %acc, %i : index
    scf.yield %next : index
  }
  %big = arith.cmpi sgt, %s, %c5 : index
  %v = scf.if %big -> f32 {
    %one = arith.constant 1.0 : f32
    scf.yield %one : f32
  } else {
    %two = arith.constant 2.0 : f32
    scf.yield %two : f32
  }
  %empty = tensor.empty() : tensor<2xf32>
  %x = linalg.fill ins(%v : f32) outs(%empty : tensor<2xf32>) -> tensor<2xf32>
  %y, %m = call @twice(%x, %s) : (tensor<2xf32>, index) -> (tensor<2xf32>, index)
  %z, %k = call @twice(%y, %m) : (tensor<2xf32>, index) -> (tensor<2xf32>, index)
  return %k, %v, %z : index, f32, tensor<2xf32>
}

// -----

// tensor ops. What tensor.empty holds is not 0 by chance.
// CHECK:      dense<0x7FC00000> : tensor<2xf32>
// CHECK-NEXT: {{.*}}dense<[2, 8]> : tensor<2xi32>
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1, 9, 3], [4, 9, 6], [7, 8, 9]]> : tensor<3x3xi32>
// CHECK-NEXT: {{.*}}arith.constant 3 : index
// CHECK-NEXT: {{.*}}dense<{{\[\[\[}}1, 2, 3], [4, 5, 6], [7, 8, 9]]]> : tensor<1x3x3xi32>
// CHECK-NEXT: {{.*}}dense<[1, 2, 3, 4, 5, 6, 7, 8, 9]> : tensor<9xi32>
// CHECK-NEXT: return
func.func @main() -> (tensor<2xf32>, tensor<2xi32>, tensor<3x3xi32>, index, tensor<1x3x3xi32>, tensor<9xi32>) {
  %u = tensor.empty() : tensor<2xf32>
  %a = arith.constant dense<[[1, 2, 3], [4, 5, 6], [7, 8, 9]]> : tensor<3x3xi32>
  %col = tensor.extract_slice %a[0, 1] [2, 1] [2, 1] : tensor<3x3xi32> to tensor<2xi32>
  %nine = arith.constant 9 : i32
  %nines = tensor.from_elements %nine, %nine : tensor<2xi32>
  %b = tensor.insert_slice %nines into %a[0, 1] [2, 1] [1, 1] : tensor<2xi32> into tensor<3x3xi32>
  %cast = tensor.cast %a : tensor<3x3xi32> to tensor<?x3xi32>
  %c0 = arith.constant 0 : index
  %d = tensor.dim %cast, %c0 : tensor<?x3xi32>
  %e = tensor.expand_shape %a [[0, 1], [2]] output_shape [1, 3, 3] : tensor<3x3xi32> into tensor<1x3x3xi32>
  %f = tensor.collapse_shape %e [[0, 1, 2]] : tensor<1x3x3xi32> into tensor<9xi32>
  return %u, %col, %b, %d, %e, %f : tensor<2xf32>, tensor<2xi32>, tensor<3x3xi32>, index, tensor<1x3x3xi32>, tensor<9xi32>
}

// -----

// Floats: maximumf keeps NaN, maxnumf does not; bf16 rounds to nearest even.
// CHECK:      dense<[0x7FC00000, 2.000000e+00]> : tensor<2xf32>
// CHECK-NEXT: {{.*}}dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>
// CHECK-NEXT: {{.*}}dense<[1.000000e+00, 1.015625{{(e[+]00)?}}]> : tensor<2xf32>
// CHECK-NEXT: {{.*}}dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>
// CHECK-NEXT: {{.*}}dense<[-3.000000e+00, 2.000000e+00]> : tensor<2xf32>
// CHECK-NEXT: {{.*}}dense<[5.000000e-01, 1.000000e+00]> : tensor<2xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) {
  %a = arith.constant dense<[0x7FC00000, 2.0]> : tensor<2xf32>
  %b = arith.constant dense<1.0> : tensor<2xf32>
  %x = arith.maximumf %a, %b : tensor<2xf32>
  %y = arith.maxnumf %a, %b : tensor<2xf32>
  %c = arith.constant dense<[1.00390625, 1.01171875]> : tensor<2xf32>
  %t = arith.truncf %c : tensor<2xf32> to tensor<2xbf16>
  %z = arith.extf %t : tensor<2xbf16> to tensor<2xf32>
  %isnan = arith.cmpf uno, %a, %a : tensor<2xf32>
  %s = arith.select %isnan, %b, %a : tensor<2xi1>, tensor<2xf32>
  %i = arith.constant dense<[-3, 2]> : tensor<2xi32>
  %f = arith.sitofp %i : tensor<2xi32> to tensor<2xf32>
  %four = arith.constant dense<[4.0, 1.0]> : tensor<2xf32>
  %r = math.rsqrt %four : tensor<2xf32>
  return %x, %y, %z, %s, %f, %r : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>
}
