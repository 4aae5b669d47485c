// The stages between logits and plan are one kernel, and only what something
// else reads reaches memory.

// RUN: moe-opt %s --split-input-file --moe-select-kernels | FileCheck %s

// CHECK-LABEL: func.func @all_stages
// CHECK-SAME:    %[[LOGITS:[^:]+]]: memref<?x8xf32>, %[[BIAS:[^:]+]]: memref<8xbf16>, %[[FACTORS:[^:]+]]: memref<8xf32>, %[[I:[^:]+]]: memref<?x3xi32>, %[[W:[^:]+]]: memref<?x3xf32>
// CHECK-NOT:     memref.alloc
// CHECK:         %[[GRID:.+]] = arith.ceildivui %[[T:.+]], %c4
// CHECK:         gpu.launch_func @kernels::@router_softmax_add_selection_bias_top_k_take_renormalize_scale_scale_by_expert_0 blocks in (%[[GRID]],
// CHECK-SAME:      args(%[[LOGITS]] : memref<?x8xf32>, %[[BIAS]] : memref<8xbf16>, %[[FACTORS]] : memref<8xf32>, %[[I]] : memref<?x3xi32>, %[[W]] : memref<?x3xf32>, %[[T]] : index)
// CHECK-NEXT:    return
// CHECK:         llvm.func @router_softmax_add
// CHECK-NOT:     llvm.func
// Experts and then weights leave the registers, by the lanes that have them.
// CHECK-COUNT-2: llvm.store
// CHECK-NOT:     llvm.store
// CHECK:         llvm.return
func.func @all_stages(%logits: memref<?x8xf32>, %bias: memref<8xbf16>,
                      %factors: memref<8xf32>, %i: memref<?x3xi32>,
                      %w: memref<?x3xf32>) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %logits, %c0 : memref<?x8xf32>
  %s = memref.alloc(%t) : memref<?x8xf32>
  moe.score softmax %logits outs(%s : memref<?x8xf32>) : memref<?x8xf32>
  %q = memref.alloc(%t) : memref<?x8xf32>
  moe.add_selection_bias %s, %bias outs(%q : memref<?x8xf32>) : memref<?x8xf32>, memref<8xbf16>
  %v = memref.alloc(%t) : memref<?x3xf32>
  moe.top_k %q, k = 3 outs(%i, %v : memref<?x3xi32>, memref<?x3xf32>) : memref<?x8xf32>
  %p = memref.alloc(%t) : memref<?x3xf32>
  moe.take %s, %i outs(%p : memref<?x3xf32>) : memref<?x8xf32>, memref<?x3xi32>
  %n = memref.alloc(%t) : memref<?x3xf32>
  moe.renormalize %p outs(%n : memref<?x3xf32>) : memref<?x3xf32>
  // In place.
  moe.scale %n by 2.5 outs(%n : memref<?x3xf32>) : memref<?x3xf32>
  moe.scale_by_expert %n, %i, %factors outs(%w : memref<?x3xf32>) : memref<?x3xf32>, memref<?x3xi32>, memref<8xf32>
  return
}

// -----

// Scores that something else reads are written; what lies between two stages
// and has nothing to do with them does not part them.
// CHECK-LABEL: func.func @read_elsewhere
// CHECK-SAME:    %[[LOGITS:[^:]+]]: memref<?x8xf32>
// CHECK:         %[[S:.+]] = memref.alloc
// CHECK-NOT:     memref.alloc
// CHECK:         gpu.launch_func @kernels::@rms_norm
// CHECK:         gpu.launch_func @kernels::@router_softmax_top_k_renormalize_{{[0-9]+}}
// CHECK-SAME:      args(%[[LOGITS]] : memref<?x8xf32>, %[[S]] : memref<?x8xf32>, %{{.+}} : memref<?x2xi32>, %{{.+}} : memref<?x2xf32>, %{{.+}} : index)
// CHECK-NEXT:    memref.copy %[[S]]
func.func @read_elsewhere(%logits: memref<?x8xf32>, %x: memref<?x8xf32>,
                          %g: memref<8xf32>, %y: memref<?x8xf32>,
                          %i: memref<?x2xi32>, %w: memref<?x2xf32>,
                          %copy: memref<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %logits, %c0 : memref<?x8xf32>
  %s = memref.alloc(%t) : memref<?x8xf32>
  moe.score softmax %logits outs(%s : memref<?x8xf32>) : memref<?x8xf32>
  %v = memref.alloc(%t) : memref<?x2xf32>
  nn.rms_norm %x, %g outs(%y : memref<?x8xf32>) {eps = 1.0e-6 : f64} : memref<?x8xf32>, memref<8xf32>
  moe.top_k %s, k = 2 outs(%i, %v : memref<?x2xi32>, memref<?x2xf32>) : memref<?x8xf32>
  %u = memref.dim %v, %c0 : memref<?x2xf32>
  moe.renormalize %v outs(%w : memref<?x2xf32>) : memref<?x2xf32>
  memref.copy %s, %copy : memref<?x8xf32> to memref<?x8xf32>
  return
}

// -----

// What reads scores between two stages, or writes logits, parts them; so does
// a view of a buffer that is not the buffer.
// CHECK-LABEL: func.func @parted
// CHECK:         gpu.launch_func @kernels::@router_sigmoid_0
// CHECK-NEXT:    memref.copy
// CHECK:         gpu.launch_func @kernels::@top_k_e8_k2
// CHECK:         gpu.launch_func @kernels::@router_scale_1
// CHECK-NEXT:    memref.copy
// CHECK:         gpu.launch_func @kernels::@router_renormalize_2
// CHECK:         gpu.launch_func @kernels::@router_scale_3
// CHECK:         gpu.launch_func @kernels::@router_scale_by_expert_4
func.func @parted(%logits: memref<?x8xf32>, %other: memref<?x8xf32>,
                  %s: memref<?x8xf32>, %i: memref<?x2xi32>,
                  %v: memref<?x2xf32>, %w: memref<?x2xf32>,
                  %f: memref<8xf32>, %all: memref<4x2xf32>) {
  moe.score sigmoid %logits outs(%s : memref<?x8xf32>) : memref<?x8xf32>
  memref.copy %s, %other : memref<?x8xf32> to memref<?x8xf32>
  moe.top_k %s, k = 2 outs(%i, %v : memref<?x2xi32>, memref<?x2xf32>) : memref<?x8xf32>
  memref.copy %other, %s : memref<?x8xf32> to memref<?x8xf32>
  moe.scale %v by 2.0 outs(%w : memref<?x2xf32>) : memref<?x2xf32>
  memref.copy %w, %v : memref<?x2xf32> to memref<?x2xf32>
  moe.renormalize %w outs(%w : memref<?x2xf32>) {p = 2 : i64} : memref<?x2xf32>
  %cast = memref.cast %all : memref<4x2xf32> to memref<?x2xf32>
  moe.scale %all by 3.0 outs(%all : memref<4x2xf32>) : memref<4x2xf32>
  moe.scale_by_expert %cast, %i, %f outs(%v : memref<?x2xf32>) : memref<?x2xf32>, memref<?x2xi32>, memref<8xf32>
  return
}

// -----

// More experts than a warp has registers for: loops.
// CHECK-LABEL: func.func @wide
// CHECK:         moe.score
// CHECK:         moe.top_k
func.func @wide(%logits: memref<?x1025xf32>, %s: memref<?x1025xf32>,
                %i: memref<?x2xi32>, %v: memref<?x2xf32>) {
  moe.score sigmoid %logits outs(%s : memref<?x1025xf32>) : memref<?x1025xf32>
  moe.top_k %s, k = 2 outs(%i, %v : memref<?x2xi32>, memref<?x2xf32>) : memref<?x1025xf32>
  return
}
