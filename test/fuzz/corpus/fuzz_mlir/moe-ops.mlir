

func.func @router_logits(%x: tensor<?x16xf32>, %w: tensor<8x16xbf16>,
                         %b: tensor<8xf32>, %out: tensor<?x8xf32>,
                         %xm: memref<?x16xf32>, %wm: memref<8x16xf16>,
                         %bm: memref<8xf16>, %outm: memref<?x8xf32>)
    -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %0 = moe.router_logits %x, %w
      : tensor<?x16xf32>, tensor<8x16xbf16> -> tensor<?x8xf32>
  %1 = moe.router_logits %x, %w bias(%b : tensor<8xf32>)
      outs(%out : tensor<?x8xf32>)
      : tensor<?x16xf32>, tensor<8x16xbf16> -> tensor<?x8xf32>
  moe.router_logits %xm, %wm bias(%bm : memref<8xf16>)
      outs(%outm : memref<?x8xf32>) : memref<?x16xf32>, memref<8x16xf16>
  return %0, %1 : tensor<?x8xf32>, tensor<?x8xf32>
}

func.func @score(%z: tensor<?x8xf32>, %i: tensor<?x8xi32>,
                 %out: tensor<?x8xf32>, %zm: memref<?x8xf32>,
                 %im: memref<?x8xi32>, %outm: memref<?x8xf32>)
    -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) {
  %0 = moe.score softmax %z : tensor<?x8xf32> -> tensor<?x8xf32>
  %1 = moe.score sigmoid %z outs(%out : tensor<?x8xf32>)
      : tensor<?x8xf32> -> tensor<?x8xf32>
  %2 = moe.score softmax %z slots(%i : tensor<?x8xi32>)
      : tensor<?x8xf32> -> tensor<?x8xf32>
  moe.score softmax %zm slots(%im : memref<?x8xi32>)
      outs(%outm : memref<?x8xf32>) : memref<?x8xf32>
  return %0, %1, %2 : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>
}

func.func @add_selection_bias(%s: tensor<?x8xf32>, %b: tensor<8xf32>,
                              %out: tensor<?x8xf32>, %sm: memref<?x8xf32>,
                              %bm: memref<8xbf16>, %outm: memref<?x8xf32>)
    -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %0 = moe.add_selection_bias %s, %b
      : tensor<?x8xf32>, tensor<8xf32> -> tensor<?x8xf32>
  %1 = moe.add_selection_bias %s, %b outs(%out : tensor<?x8xf32>)
      : tensor<?x8xf32>, tensor<8xf32> -> tensor<?x8xf32>
  moe.add_selection_bias %sm, %bm outs(%outm : memref<?x8xf32>)
      : memref<?x8xf32>, memref<8xbf16>
  return %0, %1 : tensor<?x8xf32>, tensor<?x8xf32>
}

func.func @top_k(%s: tensor<?x8xf32>, %i: tensor<?x2xi32>, %w: tensor<?x2xf32>,
                 %sm: memref<?x8xf32>, %im: memref<?x2xi32>,
                 %wm: memref<?x2xf32>)
    -> (tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x2xi32>, tensor<?x2xf32>) {
  %0:2 = moe.top_k %s, k = 2
      : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %1:2 = moe.top_k %s, k = 2 outs(%i, %w : tensor<?x2xi32>, tensor<?x2xf32>)
      : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  moe.top_k %sm, k = 2 outs(%im, %wm : memref<?x2xi32>, memref<?x2xf32>)
      : memref<?x8xf32>
  return %0#0, %0#1, %1#0, %1#1
      : tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x2xi32>, tensor<?x2xf32>
}

func.func @take(%s: tensor<?x8xf32>, %i: tensor<?x2xi32>,
                %out: tensor<?x2xf32>, %sm: memref<?x8xf32>,
                %im: memref<?x2xi32>, %outm: memref<?x2xf32>)
    -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  %0 = moe.take %s, %i : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<?x2xf32>
  %1 = moe.take %s, %i outs(%out : tensor<?x2xf32>)
      : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<?x2xf32>
  moe.take %sm, %im outs(%outm : memref<?x2xf32>)
      : memref<?x8xf32>, memref<?x2xi32>
  return %0, %1 : tensor<?x2xf32>, tensor<?x2xf32>
}

func.func @renormalize(%w: tensor<?x2xf32>, %out: tensor<?x2xf32>,
                       %wm: memref<?x2xf32>, %outm: memref<?x2xf32>)
    -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  %0 = moe.renormalize %w {p = 1 : i64} : tensor<?x2xf32> -> tensor<?x2xf32>
  %1 = moe.renormalize %w outs(%out : tensor<?x2xf32>)
      {p = 2 : i64, eps = 1.0e-20 : f64, floor = 1.0e-3 : f64}
      : tensor<?x2xf32> -> tensor<?x2xf32>
  moe.renormalize %wm outs(%outm : memref<?x2xf32>) : memref<?x2xf32>
  return %0, %1 : tensor<?x2xf32>, tensor<?x2xf32>
}

func.func @scale(%w: tensor<?x2xf32>, %out: tensor<?x2xf32>,
                 %wm: memref<?x2xf32>, %outm: memref<?x2xf32>)
    -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  %0 = moe.scale %w by 2.5 : tensor<?x2xf32> -> tensor<?x2xf32>
  %1 = moe.scale %w by 2.5 outs(%out : tensor<?x2xf32>)
      : tensor<?x2xf32> -> tensor<?x2xf32>
  moe.scale %wm by 2.5 outs(%outm : memref<?x2xf32>) : memref<?x2xf32>
  return %0, %1 : tensor<?x2xf32>, tensor<?x2xf32>
}

func.func @scale_by_expert(%w: tensor<?x2xf32>, %i: tensor<?x2xi32>,
                           %f: tensor<8xf32>, %out: tensor<?x2xf32>,
                           %wm: memref<?x2xf32>, %im: memref<?x2xi32>,
                           %fm: memref<8xf16>, %outm: memref<?x2xf32>)
    -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  %0 = moe.scale_by_expert %w, %i, %f
      : tensor<?x2xf32>, tensor<?x2xi32>, tensor<8xf32> -> tensor<?x2xf32>
  %1 = moe.scale_by_expert %w, %i, %f outs(%out : tensor<?x2xf32>)
      : tensor<?x2xf32>, tensor<?x2xi32>, tensor<8xf32> -> tensor<?x2xf32>
  moe.scale_by_expert %wm, %im, %fm outs(%outm : memref<?x2xf32>)
      : memref<?x2xf32>, memref<?x2xi32>, memref<8xf16>
  return %0, %1 : tensor<?x2xf32>, tensor<?x2xf32>
}


func.func @assignment(%i: tensor<?x2xi32>, %w: tensor<?x2xf32>)
    -> (tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>) {
  %a = moe.assign %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
      -> !moe.assignment<experts = 8, max_per_token = 2>
  %t, %e, %v, %n = moe.assignment_entries %a
      : !moe.assignment<experts = 8, max_per_token = 2>
      -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  return %t, %e, %v, %n
      : tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
}

func.func private @layer(%x: tensor<?x4xf32>,
                         %a: !moe.assignment<experts = 3, max_per_token = 2>,
                         %init: tensor<?x4xf32>, %gate: tensor<2x6x4xf32>,
                         %down: tensor<2x4x6xbf16>) -> tensor<?x4xf32> {
  %y = moe.layer %x, %a outs(%init) kinds = [0, 1, 0] apply = input
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>,
        tensor<?x4xf32>
  expert(%rows, %e, %g = %gate: tensor<2x6x4xf32>,
         %d = %down: tensor<2x4x6xbf16>) {
    %h = nn.linear %rows, %g
        : tensor<?x4xf32>, tensor<6x4xf32> -> tensor<?x6xf32>
    %s = nn.silu %h : tensor<?x6xf32>
    %o = nn.linear %s, %d
        : tensor<?x6xf32>, tensor<4x6xbf16> -> tensor<?x4xf32>
    moe.yield %o : tensor<?x4xf32>
  }
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

func.func private @dispatch_experts_combine(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>)
    -> (tensor<?x4xf32>, tensor<?x4xf32>) {
  %rows, %offsets = moe.dispatch %x, %a apply = input
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x4xf32>, tensor<4xi32>
  %o = moe.experts %rows groups(%offsets) kinds = [0, 0, 0]
      : tensor<?x4xf32>, tensor<4xi32>
  expert(%r, %e) {
    moe.yield %r : tensor<?x4xf32>
  }
  %0 = moe.combine %o, %a outs(%x) apply = input
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x4xf32>
  %1 = moe.combine %o, %a outs(%x) apply = output
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x4xf32>
  return %0, %1 : tensor<?x4xf32>, tensor<?x4xf32>
}

moe.parameter @bias : tensor<6xf32> from [
    #moe.source<"b", tensor<6xf32>, first = 0, count = 6, part = 0>]
moe.parameter @experts.up : tensor<2x6x4xbf16> from [
    #moe.source<"1.up", tensor<6x4xbf16>, first = 1, count = 1, part = 0>,
    #moe.source<"0.up", tensor<6x4xbf16>, first = 0, count = 1, part = 0>]
moe.parameter @packed : tensor<1x2x4x16xf32> from [
    #moe.source<"g", tensor<11x4xf32>, first = 0, count = 1, part = 0>,
    #moe.source<"u", tensor<11x4xf32>, first = 0, count = 1, part = 1>]
    panels<columns = 11, parts = 2, lanes = 8, vectors = 1>

func.func @parameter_ref() -> (tensor<6xf32>, memref<1x2x4x16xf32>) {
  %0 = moe.parameter_ref @bias : tensor<6xf32>
  %1 = moe.parameter_ref @packed : memref<1x2x4x16xf32>
  return %0, %1 : tensor<6xf32>, memref<1x2x4x16xf32>
}

func.func @plan(%e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %rt: tensor<?xi32>,
                %rw: tensor<?xf32>, %eo: tensor<4xi32>, %to: tensor<?xi32>,
                %tr: tensor<?xi32>, %em: memref<?x2xi32>, %wm: memref<?x2xf32>,
                %rtm: memref<?xi32>, %rwm: memref<?xf32>, %eom: memref<4xi32>,
                %tom: memref<?xi32>, %trm: memref<?xi32>)
    -> (tensor<?xi32>, tensor<?xi32>) {
  %0:5 = moe.plan %e, %w experts = 3 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<4xi32>, tensor<?xi32>,
         tensor<?xi32>
  %1:5 = moe.plan %e, %w experts = 3
      outs(%rt, %rw, %eo, %to, %tr : tensor<?xi32>, tensor<?xf32>,
           tensor<4xi32>, tensor<?xi32>, tensor<?xi32>)
      : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<4xi32>, tensor<?xi32>,
         tensor<?xi32>
  moe.plan %em, %wm experts = 3
      outs(%rtm, %rwm, %eom, %tom, %trm : memref<?xi32>, memref<?xf32>,
           memref<4xi32>, memref<?xi32>, memref<?xi32>)
      : memref<?x2xi32>, memref<?x2xf32>
  return %0#0, %1#0 : tensor<?xi32>, tensor<?xi32>
}

func.func @list_entries(
    %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %t: tensor<?xi64>,
    %v: tensor<?xf32>, %n: tensor<1xi64>, %em: memref<?x2xi32>,
    %wm: memref<?x2xf32>, %tm: memref<?xi64>, %xm: memref<?xi64>,
    %vm: memref<?xf32>, %nm: memref<1xi64>) -> (tensor<1xi64>, tensor<1xi64>) {
  %0:4 = moe.list_entries %e, %w experts = 3 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  %1:4 = moe.list_entries %e, %w experts = 3
      outs(%t, %t, %v, %n : tensor<?xi64>, tensor<?xi64>, tensor<?xf32>,
           tensor<1xi64>) : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  moe.list_entries %em, %wm experts = 3
      outs(%tm, %xm, %vm, %nm : memref<?xi64>, memref<?xi64>, memref<?xf32>,
           memref<1xi64>) : memref<?x2xi32>, memref<?x2xf32>
  return %0#3, %1#3 : tensor<1xi64>, tensor<1xi64>
}

func.func @row_tiles(%o: tensor<9xi32>, %m: index, %t: tensor<?x4xi32>,
                     %n: tensor<1xi32>, %om: memref<9xi32>,
                     %tm: memref<?x4xi32>, %nm: memref<1xi32>)
    -> (tensor<1xi32>, tensor<1xi32>) {
  %0:2 = moe.row_tiles %o, tile = 6, max_rows = %m
      : tensor<9xi32> -> tensor<?x4xi32>, tensor<1xi32>
  %1:2 = moe.row_tiles %o, tile = 6, max_rows = %m
      outs(%t, %n : tensor<?x4xi32>, tensor<1xi32>)
      : tensor<9xi32> -> tensor<?x4xi32>, tensor<1xi32>
  moe.row_tiles %om, tile = 6, max_rows = %m
      outs(%tm, %nm : memref<?x4xi32>, memref<1xi32>) : memref<9xi32>
  return %0#1, %1#1 : tensor<1xi32>, tensor<1xi32>
}

func.func @gather_rows(%x: tensor<?x4xf32>, %t: tensor<?xi32>,
                       %o: tensor<4xi32>, %w: tensor<?xf32>,
                       %out: tensor<?x4xf32>, %xm: memref<?x4xf32>,
                       %tm: memref<?xi32>, %om: memref<4xi32>,
                       %outm: memref<?x4xf32>)
    -> (tensor<?x4xf32>, tensor<?x4xf32>) {
  %0 = moe.gather_rows %x[%t] groups(%o)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<4xi32> -> tensor<?x4xf32>
  %1 = moe.gather_rows %x[%t] groups(%o) weights(%w : tensor<?xf32>)
      outs(%out : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<4xi32> -> tensor<?x4xf32>
  moe.gather_rows %xm[%tm] groups(%om) outs(%outm : memref<?x4xf32>)
      : memref<?x4xf32>, memref<?xi32>, memref<4xi32>
  return %0, %1 : tensor<?x4xf32>, tensor<?x4xf32>
}

func.func @grouped_matmul(
    %a: tensor<?x4xf32>, %o: tensor<3xi32>, %g: tensor<2x6x4xf32>,
    %u: tensor<2x6x4xbf16>, %b: tensor<2x6xf32>, %t: tensor<?xi32>,
    %w: tensor<?xf32>, %out: tensor<?x6xf32>, %am: memref<?x4xf32>,
    %om: memref<3xi32>, %gm: memref<2x6x4xf16>, %outm: memref<?x6xf32>)
    -> (tensor<?x6xf32>, tensor<?x6xf32>) {
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%g, %u : tensor<2x6x4xf32>, tensor<2x6x4xbf16>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32, %y: f32):
    %s = nn.silu %x : f32
    %m = nn.mul %s, %y : f32
    moe.yield %m : f32
  }
  %1 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%g : tensor<2x6x4xf32>) biases(%b : tensor<2x6xf32>)
      gather(%t : tensor<?xi32>)
      scatter(%t, %w : tensor<?xi32>, tensor<?xf32>)
      outs(%out : tensor<?x6xf32>) : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  moe.grouped_matmul %am groups(%om : memref<3xi32>)
      weights(%gm : memref<2x6x4xf16>) outs(%outm : memref<?x6xf32>)
      : memref<?x4xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return %0, %1 : tensor<?x6xf32>, tensor<?x6xf32>
}

func.func @combine_rows(%r: tensor<?x4xf32>, %w: tensor<?xf32>,
                        %to: tensor<?xi32>, %tr: tensor<?xi32>,
                        %out: tensor<?x4xf32>, %rm: memref<?x4xf32>,
                        %wm: memref<?xf32>, %tom: memref<?xi32>,
                        %trm: memref<?xi32>, %outm: memref<?x4xf32>)
    -> (tensor<?x4xf32>, tensor<?x4xf32>) {
  %0 = moe.combine_rows %r tokens(%to, %tr) outs(%out : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  %1 = moe.combine_rows %r weights(%w : tensor<?xf32>) tokens(%to, %tr)
      outs(%out : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  moe.combine_rows %rm weights(%wm : memref<?xf32>) tokens(%tom, %trm)
      outs(%outm : memref<?x4xf32>)
      : memref<?x4xf32>, memref<?xi32>, memref<?xi32>
  return %0, %1 : tensor<?x4xf32>, tensor<?x4xf32>
}

func.func @packed_matmul(
    %a: tensor<?x4xf32>, %p: tensor<2x1x4x16xf32>, %q: tensor<1x1x4x8xbf16>,
    %l: tensor<?x4xi32>, %n: tensor<1xi32>, %b: tensor<2x6xf32>,
    %t: tensor<?xi32>, %out: tensor<?x6xf32>, %am: memref<?x4xf32>,
    %pm: memref<2x1x4x8xf32>, %lm: memref<?x4xi32>, %nm: memref<1xi32>,
    %tm: memref<?xi32>, %wm: memref<?xf32>, %outm: memref<?x6xf32>)
    -> (tensor<?x6xf32>, tensor<?x6xf32>) {
  %0 = moe.packed_matmul %a, %p
      panels<columns = 6, parts = 2, lanes = 8, vectors = 1> tile_rows = 6
      tiles(%l, %n : tensor<?x4xi32>, tensor<1xi32>)
      biases(%b, %b : tensor<2x6xf32>, tensor<2x6xf32>)
      gather(%t : tensor<?xi32>)
      : tensor<?x4xf32>, tensor<2x1x4x16xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32, %y: f32):
    %m = nn.mul %x, %y : f32
    moe.yield %m : f32
  }
  %1 = moe.packed_matmul %a, %q
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      accumulate outs(%out : tensor<?x6xf32>)
      : tensor<?x4xf32>, tensor<1x1x4x8xbf16> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  moe.packed_matmul %am, %pm
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 4
      tiles(%lm, %nm : memref<?x4xi32>, memref<1xi32>)
      scatter(%tm, %wm : memref<?xi32>, memref<?xf32>)
      outs(%outm : memref<?x6xf32>)
      : memref<?x4xf32>, memref<2x1x4x8xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return %0, %1 : tensor<?x6xf32>, tensor<?x6xf32>
}

func.func @parallel(%n: index, %out: memref<?xindex>) {
  moe.parallel (%begin, %end) in %n {
    memref.store %end, %out[%begin] : memref<?xindex>
  }
  return
}

module attributes {moe.model = "moe_layer", moe.max_length = 64 : i64,
                   moe.vocab_size = 101 : i64} {
  func.func @attributes(
      %ids: tensor<?x?xi64> {moe.limit = 101 : i64, moe.name = "input_ids",
                             moe.shape = ["B", "S"]},
      %lengths: tensor<?xi64> {moe.lengths, moe.name = "lengths",
                               moe.shape = ["B"]},
      %cache: tensor<2x?x?x1x4xf32> {moe.name = "k_cache",
                                     moe.shape = [2, "B", "N", 1, 4],
                                     moe.state})
      -> (tensor<2x?x?x1x4xf32> {moe.name = "k_cache"},
          tensor<?xi64> {moe.count = "n", moe.name = "l", moe.optional,
                         moe.shape = ["2*T"]}) {
    return %cache, %lengths : tensor<2x?x?x1x4xf32>, tensor<?xi64>
  }
}
