// RUN: moe-opt %s --canonicalize | FileCheck %s

// CHECK-LABEL: func @relu_twice
// CHECK-NEXT:    %[[R:.+]] = nn.relu %arg0
// CHECK-NEXT:    return %[[R]]
func.func @relu_twice(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = nn.relu %x : tensor<?x8xf32>
  %1 = nn.relu %0 : tensor<?x8xf32>
  return %1 : tensor<?x8xf32>
}

// CHECK-LABEL: func @keep_squared_relu_twice
// CHECK:         nn.squared_relu
// CHECK:         nn.squared_relu
func.func @keep_squared_relu_twice(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = nn.squared_relu %x : tensor<?x8xf32>
  %1 = nn.squared_relu %0 : tensor<?x8xf32>
  return %1 : tensor<?x8xf32>
}

// CHECK-LABEL: func @mul_by_one
// CHECK-NEXT:    return %arg0, %arg1
func.func @mul_by_one(%x: f32, %v: vector<8xf32>) -> (f32, vector<8xf32>) {
  %one = arith.constant 1.0 : f32
  %ones = arith.constant dense<1.0> : vector<8xf32>
  %0 = nn.mul %one, %x : f32
  %1 = nn.mul %v, %ones : vector<8xf32>
  return %0, %1 : f32, vector<8xf32>
}

// 0 * x is NaN for an infinite x.
// CHECK-LABEL: func @keep_mul_by_zero
// CHECK:         nn.mul
func.func @keep_mul_by_zero(%x: f32) -> f32 {
  %zero = arith.constant 0.0 : f32
  %0 = nn.mul %x, %zero : f32
  return %0 : f32
}

// CHECK-LABEL: func @add_negative_zero
// CHECK-NEXT:    return %arg0
func.func @add_negative_zero(%x: f32) -> f32 {
  %zero = arith.constant -0.0 : f32
  %0 = nn.add %zero, %x : f32
  return %0 : f32
}

// -0 + 0 is 0, not -0.
// CHECK-LABEL: func @keep_add_positive_zero
// CHECK:         nn.add
func.func @keep_add_positive_zero(%x: f32) -> f32 {
  %zero = arith.constant 0.0 : f32
  %0 = nn.add %x, %zero : f32
  return %0 : f32
}
