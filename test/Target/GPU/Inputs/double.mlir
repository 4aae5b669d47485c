// A module as the GPU pipeline leaves it, by hand: host code and kernels of
// @lowered beside the level-1 function that they implement. Slots: T, x, y.
module attributes {moe.model = "by_hand"} {
  func.func @double(
      %x: tensor<?xf32> {moe.name = "x", moe.shape = ["T"]})
      -> (tensor<?xf32> {moe.name = "y", moe.shape = ["T"]}) {
    return %x : tensor<?xf32>
  }
  module @lowered attributes {gpu.container_module, moe.params = [
    {name = "w", type = tensor<4xf32>,
     sources = [#moe.source<"scale.weight", tensor<4xf32>, first = 0,
                            count = 4, part = 0>]}
  ]} {
    // { kernel, arguments, grid[3], pointer to the arguments, no maps }
    llvm.func @moe.entry.double(%context: !llvm.ptr, %slots: !llvm.ptr) {
      %one = llvm.mlir.constant(1 : i64) : i64
      %arguments = llvm.alloca %one x !llvm.array<3 x ptr> : (i64) -> !llvm.ptr
      %launch = llvm.alloca %one x !llvm.struct<(i32, i32, array<3 x i64>, ptr, ptr)> : (i64) -> !llvm.ptr
      %x_at = llvm.getelementptr %slots[1] : (!llvm.ptr) -> !llvm.ptr, i64
      %y_at = llvm.getelementptr %slots[2] : (!llvm.ptr) -> !llvm.ptr, i64
      llvm.store %slots, %arguments : !llvm.ptr, !llvm.ptr
      %second = llvm.getelementptr %arguments[1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
      llvm.store %x_at, %second : !llvm.ptr, !llvm.ptr
      %third = llvm.getelementptr %arguments[2] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
      llvm.store %y_at, %third : !llvm.ptr, !llvm.ptr
      %kernel = llvm.mlir.constant(1 : i32) : i32
      %three = llvm.mlir.constant(3 : i32) : i32
      %t = llvm.load %slots : !llvm.ptr -> i64
      %127 = llvm.mlir.constant(127 : i64) : i64
      %128 = llvm.mlir.constant(128 : i64) : i64
      %up = llvm.add %t, %127 : i64
      %blocks = llvm.udiv %up, %128 : i64
      llvm.store %kernel, %launch : i32, !llvm.ptr
      %p1 = llvm.getelementptr %launch[0, 1] : (!llvm.ptr) -> !llvm.ptr, !llvm.struct<(i32, i32, array<3 x i64>, ptr, ptr)>
      llvm.store %three, %p1 : i32, !llvm.ptr
      %p2 = llvm.getelementptr %launch[0, 2, 0] : (!llvm.ptr) -> !llvm.ptr, !llvm.struct<(i32, i32, array<3 x i64>, ptr, ptr)>
      llvm.store %blocks, %p2 : i64, !llvm.ptr
      %p3 = llvm.getelementptr %launch[0, 2, 1] : (!llvm.ptr) -> !llvm.ptr, !llvm.struct<(i32, i32, array<3 x i64>, ptr, ptr)>
      llvm.store %one, %p3 : i64, !llvm.ptr
      %p4 = llvm.getelementptr %launch[0, 2, 2] : (!llvm.ptr) -> !llvm.ptr, !llvm.struct<(i32, i32, array<3 x i64>, ptr, ptr)>
      llvm.store %one, %p4 : i64, !llvm.ptr
      %p5 = llvm.getelementptr %launch[0, 3] : (!llvm.ptr) -> !llvm.ptr, !llvm.struct<(i32, i32, array<3 x i64>, ptr, ptr)>
      llvm.store %arguments, %p5 : !llvm.ptr, !llvm.ptr
      %p6 = llvm.getelementptr %launch[0, 4] : (!llvm.ptr) -> !llvm.ptr, !llvm.struct<(i32, i32, array<3 x i64>, ptr, ptr)>
      %none = llvm.mlir.zero : !llvm.ptr
      llvm.store %none, %p6 : !llvm.ptr, !llvm.ptr
      %f_at = llvm.getelementptr %context[16] : (!llvm.ptr) -> !llvm.ptr, i8
      %f = llvm.load %f_at : !llvm.ptr -> !llvm.ptr
      llvm.call %f(%context, %launch) : !llvm.ptr, (!llvm.ptr, !llvm.ptr) -> ()
      llvm.return
    }
    gpu.module @kernels {
      llvm.mlir.global internal @tile() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<32 x f32>
      llvm.mlir.global external @dynamic() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<0 x i8>
      llvm.func internal @twice(%x: f32) -> f32 attributes {no_inline} {
        %sum = llvm.fadd %x, %x {fastmathFlags = #llvm.fastmath<contract>} : f32
        %product = llvm.fmul %sum, %x {fastmathFlags = #llvm.fastmath<contract>} : f32
        %result = llvm.fadd %product, %x {fastmathFlags = #llvm.fastmath<contract>} : f32
        llvm.return %result : f32
      }
      llvm.func @first(%p: !llvm.ptr) attributes {
          gpu.kernel, nvvm.kernel, nvvm.reqntid = array<i32: 32>,
          moe.dynamic_shared = 256 : i32, moe.overlaps} {
        %tile = llvm.mlir.addressof @tile : !llvm.ptr<3>
        %dynamic = llvm.mlir.addressof @dynamic : !llvm.ptr<3>
        %i = nvvm.read.ptx.sreg.tid.x : i32
        %at = llvm.getelementptr %tile[0, %i] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, !llvm.array<32 x f32>
        %at2 = llvm.getelementptr %dynamic[%i] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
        %from = llvm.getelementptr %p[%i] : (!llvm.ptr, i32) -> !llvm.ptr, f32
        %x = llvm.load %from : !llvm.ptr -> f32
        llvm.store %x, %at : f32, !llvm.ptr<3>
        llvm.store %x, %at2 : f32, !llvm.ptr<3>
        nvvm.barrier0
        %31 = llvm.mlir.constant(31 : i32) : i32
        %j = llvm.sub %31, %i : i32
        %at3 = llvm.getelementptr %tile[0, %j] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, !llvm.array<32 x f32>
        %at4 = llvm.getelementptr %dynamic[%j] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
        %a = llvm.load %at3 : !llvm.ptr<3> -> f32
        %b = llvm.load %at4 : !llvm.ptr<3> -> f32
        %c = llvm.fadd %a, %b : f32
        llvm.store %c, %from : f32, !llvm.ptr
        llvm.return
      }
      llvm.func @second(%n: i64, %x: !llvm.ptr {llvm.noalias}, %y: !llvm.ptr {llvm.noalias}) attributes {
          gpu.kernel, nvvm.kernel, nvvm.reqntid = array<i32: 128, 1, 1>} {
        %tid = nvvm.read.ptx.sreg.tid.x : i32
        %block = nvvm.read.ptx.sreg.ctaid.x : i32
        %128 = llvm.mlir.constant(128 : i32) : i32
        %first = llvm.mul %block, %128 : i32
        %i = llvm.add %first, %tid : i32
        %wide = llvm.zext %i : i32 to i64
        %inside = llvm.icmp "ult" %wide, %n : i64
        llvm.cond_br %inside, ^body, ^done
      ^body:
        %from = llvm.getelementptr %x[%wide] : (!llvm.ptr, i64) -> !llvm.ptr, f32
        %value = llvm.load %from : !llvm.ptr -> f32
        %result = llvm.call @twice(%value) : (f32) -> f32
        %to = llvm.getelementptr %y[%wide] : (!llvm.ptr, i64) -> !llvm.ptr, f32
        llvm.store %result, %to : f32, !llvm.ptr
        llvm.br ^done
      ^done:
        llvm.return
      }
    }
  }
}
