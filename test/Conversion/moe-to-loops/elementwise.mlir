// DEFINE: %{lower} = moe-opt %s --pass-pipeline="builtin.module(func.func(convert-moe-to-loops{threads=none}),canonicalize,moe-approximate-math,convert-vector-to-scf,convert-scf-to-cf,expand-strided-metadata,lower-affine,convert-vector-to-llvm,convert-to-llvm,reconcile-unrealized-casts)"
// DEFINE: %{run} = mlir-runner -e main --entry-point-result=void \
// DEFINE:   --shared-libs=%llvm_lib_dir/libmlir_runner_utils.so,%llvm_lib_dir/libmlir_c_runner_utils.so
// RUN: %{lower} | %{run} | FileCheck %s

func.func private @printMemrefF32(memref<*xf32>) attributes {llvm.emit_c_interface}
func.func @showF(%m: memref<?x?xf32>) {
  %u = memref.cast %m : memref<?x?xf32> to memref<*xf32>
  call @printMemrefF32(%u) : (memref<*xf32>) -> ()
  return
}


// Every op on scalars and on vectors of the same values, whose bits must agree:
// the column of ops that differ from their scalar form stays 0.
memref.global "private" constant @values : memref<8xf32> = dense<[
  0.0, 1.0, -1.0, 3.0, -200.0, 200.0, 0x7FC00000, 0x7F800000]>

func.func @compare(%scalar: f32, %vectors: vector<8xf32>, %i: index,
                   %out: memref<7x8xf32>, %row: index,
                   %differ: memref<1x1xf32>) {
  %c0 = arith.constant 0 : index
  %f1 = arith.constant 1.0 : f32
  memref.store %scalar, %out[%row, %i] : memref<7x8xf32>
  %lane = vector.extract %vectors[%i] : f32 from vector<8xf32>
  %a = arith.bitcast %scalar : f32 to i32
  %b = arith.bitcast %lane : f32 to i32
  %other = arith.cmpi ne, %a, %b : i32
  scf.if %other {
    %0 = memref.load %differ[%c0, %c0] : memref<1x1xf32>
    %1 = arith.addf %0, %f1 : f32
    memref.store %1, %differ[%c0, %c0] : memref<1x1xf32>
  }
  return
}
func.func @main() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %c6 = arith.constant 6 : index
  %c8 = arith.constant 8 : index
  %f0 = arith.constant 0.0 : f32
  %x = memref.get_global @values : memref<8xf32>
  %out = memref.alloc() : memref<7x8xf32>
  %differ = memref.alloc() : memref<1x1xf32>
  memref.store %f0, %differ[%c0, %c0] : memref<1x1xf32>
  %v = vector.load %x[%c0] : memref<8xf32>, vector<8xf32>
  %v0 = nn.silu %v : vector<8xf32>
  %v1 = nn.gelu %v : vector<8xf32>
  %v2 = nn.gelu_tanh %v : vector<8xf32>
  %v3 = nn.relu %v : vector<8xf32>
  %v4 = nn.squared_relu %v : vector<8xf32>
  %v5 = nn.mul %v, %v0 : vector<8xf32>
  %v6 = nn.add %v, %v0 : vector<8xf32>
  scf.for %i = %c0 to %c8 step %c1 {
    %s = memref.load %x[%i] : memref<8xf32>
    %0 = nn.silu %s : f32
    %1 = nn.gelu %s : f32
    %2 = nn.gelu_tanh %s : f32
    %3 = nn.relu %s : f32
    %4 = nn.squared_relu %s : f32
    %5 = nn.mul %s, %0 : f32
    %6 = nn.add %s, %0 : f32
    func.call @compare(%0, %v0, %i, %out, %c0, %differ) : (f32, vector<8xf32>, index, memref<7x8xf32>, index, memref<1x1xf32>) -> ()
    func.call @compare(%1, %v1, %i, %out, %c1, %differ) : (f32, vector<8xf32>, index, memref<7x8xf32>, index, memref<1x1xf32>) -> ()
    func.call @compare(%2, %v2, %i, %out, %c2, %differ) : (f32, vector<8xf32>, index, memref<7x8xf32>, index, memref<1x1xf32>) -> ()
    func.call @compare(%3, %v3, %i, %out, %c3, %differ) : (f32, vector<8xf32>, index, memref<7x8xf32>, index, memref<1x1xf32>) -> ()
    func.call @compare(%4, %v4, %i, %out, %c4, %differ) : (f32, vector<8xf32>, index, memref<7x8xf32>, index, memref<1x1xf32>) -> ()
    func.call @compare(%5, %v5, %i, %out, %c5, %differ) : (f32, vector<8xf32>, index, memref<7x8xf32>, index, memref<1x1xf32>) -> ()
    func.call @compare(%6, %v6, %i, %out, %c6, %differ) : (f32, vector<8xf32>, index, memref<7x8xf32>, index, memref<1x1xf32>) -> ()
  }
  // CHECK:      {{\[\[}}0, 0.731059, -0.268941, 2.85772, -0, 200, {{-?}}nan, inf],
  // CHECK-NEXT: [0, 0.841345, -0.158655, 2.99595, -0, 200, {{-?}}nan, inf],
  // CHECK-NEXT: [0, 0.841192, -0.158808, 2.99636, -0, 200, {{-?}}nan, inf],
  // CHECK-NEXT: [0, 1, 0, 3, 0, 200, {{-?}}nan, inf],
  // CHECK-NEXT: [0, 1, 0, 9, 0, 40000, {{-?}}nan, inf],
  // CHECK-NEXT: [0, 0.731059, 0.268941, 8.57317, 0, 40000, {{-?}}nan, inf],
  // CHECK-NEXT: [0, 1.73106, -1.26894, 5.85772, -200, 400, {{-?}}nan, inf]]
  // CHECK:      {{\[\[}}0]]
  %outd = memref.cast %out : memref<7x8xf32> to memref<?x?xf32>
  call @showF(%outd) : (memref<?x?xf32>) -> ()
  %differd = memref.cast %differ : memref<1x1xf32> to memref<?x?xf32>
  call @showF(%differd) : (memref<?x?xf32>) -> ()
  return
}
