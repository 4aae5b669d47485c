// A module as the CPU pipeline leaves it, by hand: @lowered beside the level-1
// functions that it implements. Slots: T, x, y, flat, used, arena.
module attributes {moe.model = "by_hand", moe.max_length = 7 : i64} {
  func.func @scale(
      %x: tensor<?x4xf32> {moe.name = "x", moe.shape = ["T", 4]})
      -> (tensor<?x4xf32> {moe.name = "y", moe.shape = ["T", 4]},
          tensor<?xf32> {moe.name = "flat", moe.shape = ["4*T"],
                         moe.count = "used", moe.optional},
          tensor<1xi64> {moe.name = "used", moe.shape = [1], moe.optional}) {
    %flat = tensor.collapse_shape %x [[0, 1]]
        : tensor<?x4xf32> into tensor<?xf32>
    %used = arith.constant dense<0> : tensor<1xi64>
    return %x, %flat, %used : tensor<?x4xf32>, tensor<?xf32>, tensor<1xi64>
  }
  module @lowered attributes {moe.params = [
    {name = "w", type = tensor<4xf32>,
     sources = [#moe.source<"scale.weight", tensor<4xf32>, first = 0,
                            count = 4, part = 0>]},
    {name = "packed", type = tensor<2x3xbf16>, pack = "pack.0",
     sources = [#moe.source<"a", tensor<3xbf16>, first = 0, count = 1, part = 0>,
                #moe.source<"b", tensor<3xbf16>, first = 1, count = 1, part = 0>]}
  ]} {
    llvm.func @rows(%context: !llvm.ptr, %slots: !llvm.ptr, %begin: i64, %end: i64)
        attributes {sym_visibility = "private"} {
      %params_at = llvm.getelementptr %context[8] : (!llvm.ptr) -> !llvm.ptr, i8
      %params = llvm.load %params_at : !llvm.ptr -> !llvm.ptr
      %w = llvm.load %params : !llvm.ptr -> !llvm.ptr
      %scale = llvm.load %w {alignment = 4} : !llvm.ptr -> vector<4xf32>
      %x_at = llvm.getelementptr %slots[1] : (!llvm.ptr) -> !llvm.ptr, i64
      %x = llvm.load %x_at : !llvm.ptr -> !llvm.ptr
      %y_at = llvm.getelementptr %slots[2] : (!llvm.ptr) -> !llvm.ptr, i64
      %y = llvm.load %y_at : !llvm.ptr -> !llvm.ptr
      %one = llvm.mlir.constant(1 : i64) : i64
      llvm.br ^head(%begin : i64)
    ^head(%i: i64):
      %more = llvm.icmp "slt" %i, %end : i64
      llvm.cond_br %more, ^body, ^done
    ^body:
      %from = llvm.getelementptr %x[%i] : (!llvm.ptr, i64) -> !llvm.ptr, vector<4xf32>
      %to = llvm.getelementptr %y[%i] : (!llvm.ptr, i64) -> !llvm.ptr, vector<4xf32>
      %row = llvm.load %from {alignment = 4} : !llvm.ptr -> vector<4xf32>
      %scaled = llvm.fmul %row, %scale : vector<4xf32>
      llvm.store %scaled, %to {alignment = 4} : vector<4xf32>, !llvm.ptr
      %next = llvm.add %i, %one : i64
      llvm.br ^head(%next : i64)
    ^done:
      llvm.return
    }
    llvm.func @moe.entry.scale(%context: !llvm.ptr, %slots: !llvm.ptr) {
      %rows = llvm.mlir.addressof @rows : !llvm.ptr
      %parallel_for = llvm.load %context : !llvm.ptr -> !llvm.ptr
      %t = llvm.load %slots : !llvm.ptr -> i64
      llvm.call %parallel_for(%context, %rows, %slots, %t)
          : !llvm.ptr, (!llvm.ptr, !llvm.ptr, !llvm.ptr, i64) -> ()
      llvm.return
    }
    llvm.func @moe.entry.scale.full(%context: !llvm.ptr, %slots: !llvm.ptr) {
      llvm.call @moe.entry.scale(%context, %slots) : (!llvm.ptr, !llvm.ptr) -> ()
      %t = llvm.load %slots : !llvm.ptr -> i64
      %four = llvm.mlir.constant(4 : i64) : i64
      %bytes_per_row = llvm.mlir.constant(16 : i64) : i64
      %n = llvm.mul %t, %four : i64
      %bytes = llvm.mul %t, %bytes_per_row : i64
      %y_at = llvm.getelementptr %slots[2] : (!llvm.ptr) -> !llvm.ptr, i64
      %y = llvm.load %y_at : !llvm.ptr -> !llvm.ptr
      %flat_at = llvm.getelementptr %slots[3] : (!llvm.ptr) -> !llvm.ptr, i64
      %flat = llvm.load %flat_at : !llvm.ptr -> !llvm.ptr
      %used_at = llvm.getelementptr %slots[4] : (!llvm.ptr) -> !llvm.ptr, i64
      %used = llvm.load %used_at : !llvm.ptr -> !llvm.ptr
      // Through the arena, so that both it and memcpy are there.
      %arena_at = llvm.getelementptr %slots[5] : (!llvm.ptr) -> !llvm.ptr, i64
      %arena = llvm.load %arena_at : !llvm.ptr -> !llvm.ptr
      "llvm.intr.memcpy"(%arena, %y, %bytes) <{isVolatile = false}>
          : (!llvm.ptr, !llvm.ptr, i64) -> ()
      "llvm.intr.memmove"(%flat, %arena, %bytes) <{isVolatile = false}>
          : (!llvm.ptr, !llvm.ptr, i64) -> ()
      llvm.store %n, %used : i64, !llvm.ptr
      llvm.return
    }
    llvm.func @moe.entry.scale.full.arena_size(%context: !llvm.ptr, %slots: !llvm.ptr) {
      %t = llvm.load %slots : !llvm.ptr -> i64
      %bytes_per_row = llvm.mlir.constant(16 : i64) : i64
      %bytes = llvm.mul %t, %bytes_per_row : i64
      %to = llvm.getelementptr %slots[5] : (!llvm.ptr) -> !llvm.ptr, i64
      llvm.store %bytes, %to : i64, !llvm.ptr
      llvm.return
    }
    // Slots: parameter, source, first, count, part.
    llvm.func @moe.entry.pack.0(%context: !llvm.ptr, %slots: !llvm.ptr) {
      %to = llvm.load %slots : !llvm.ptr -> !llvm.ptr
      %from_at = llvm.getelementptr %slots[1] : (!llvm.ptr) -> !llvm.ptr, i64
      %from = llvm.load %from_at : !llvm.ptr -> !llvm.ptr
      %first_at = llvm.getelementptr %slots[2] : (!llvm.ptr) -> !llvm.ptr, i64
      %first = llvm.load %first_at : !llvm.ptr -> i64
      %place = llvm.getelementptr %to[%first] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.array<3 x i16>
      %bytes = llvm.mlir.constant(6 : i64) : i64
      "llvm.intr.memcpy"(%place, %from, %bytes) <{isVolatile = false}>
          : (!llvm.ptr, !llvm.ptr, i64) -> ()
      llvm.return
    }
  }
}
