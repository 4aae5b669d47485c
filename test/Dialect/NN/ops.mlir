// RUN: moe-opt %s --verify-roundtrip | FileCheck %s
// RUN: moe-opt %s --emit-bytecode | moe-opt --verify-roundtrip | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt | FileCheck %s

// CHECK-LABEL: func @linear
// CHECK:         nn.linear %{{.+}}, %{{.+}} : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
// CHECK:         nn.linear %{{.+}}, %{{.+}} bias(%{{.+}} : tensor<8xbf16>) outs(%{{.+}} : tensor<?x8xf32>) accumulate : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
// CHECK:         nn.linear %{{.+}}, %{{.+}} outs(%{{.+}} : memref<?x8xf32>) : memref<?x16xf32>, memref<8x16xf16>{{$}}
func.func @linear(%x: tensor<?x16xf32>, %w: tensor<8x16xf32>,
                  %b: tensor<8xbf16>, %out: tensor<?x8xf32>,
                  %xm: memref<?x16xf32>, %wm: memref<8x16xf16>,
                  %outm: memref<?x8xf32>)
    -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %0 = nn.linear %x, %w
      : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
  %1 = nn.linear %x, %w bias(%b : tensor<8xbf16>)
      outs(%out : tensor<?x8xf32>) accumulate
      : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
  nn.linear %xm, %wm outs(%outm : memref<?x8xf32>)
      : memref<?x16xf32>, memref<8x16xf16>
  return %0, %1 : tensor<?x8xf32>, tensor<?x8xf32>
}

// CHECK-LABEL: func @embedding
// CHECK:         nn.embedding %{{.+}}, %{{.+}} : tensor<?x?xi64>, tensor<101x40xf32> -> tensor<?x40xf32>
// CHECK:         nn.embedding %{{.+}}, %{{.+}} outs(%{{.+}} : tensor<?x40xf32>) : tensor<?x?xi64>, tensor<101x40xf32> -> tensor<?x40xf32>
// CHECK:         nn.embedding %{{.+}}, %{{.+}} outs(%{{.+}} : memref<?x40xf32>) : memref<?x?xi64>, memref<101x40xbf16>{{$}}
func.func @embedding(%ids: tensor<?x?xi64>, %t: tensor<101x40xf32>,
                     %out: tensor<?x40xf32>, %idsm: memref<?x?xi64>,
                     %tm: memref<101x40xbf16>, %outm: memref<?x40xf32>)
    -> (tensor<?x40xf32>, tensor<?x40xf32>) {
  %0 = nn.embedding %ids, %t
      : tensor<?x?xi64>, tensor<101x40xf32> -> tensor<?x40xf32>
  %1 = nn.embedding %ids, %t outs(%out : tensor<?x40xf32>)
      : tensor<?x?xi64>, tensor<101x40xf32> -> tensor<?x40xf32>
  nn.embedding %idsm, %tm outs(%outm : memref<?x40xf32>)
      : memref<?x?xi64>, memref<101x40xbf16>
  return %0, %1 : tensor<?x40xf32>, tensor<?x40xf32>
}

// CHECK-LABEL: func @rms_norm
// CHECK:         nn.rms_norm %{{.+}}, %{{.+}} {eps = 1.000000e-05 : f64} : tensor<?x40xf32>, tensor<40xf32> -> tensor<?x40xf32>
// CHECK:         nn.rms_norm %{{.+}}, %{{.+}} outs(%{{.+}} : tensor<?x40xf32>) {eps = 0.000000e+00 : f64} : tensor<?x40xf32>, tensor<40xf32> -> tensor<?x40xf32>
// CHECK:         nn.rms_norm %{{.+}}, %{{.+}} outs(%{{.+}} : memref<?x40xf32>) {eps = 1.000000e-05 : f64} : memref<?x40xf32>, memref<40xbf16>{{$}}
func.func @rms_norm(%x: tensor<?x40xf32>, %w: tensor<40xf32>,
                    %out: tensor<?x40xf32>, %xm: memref<?x40xf32>,
                    %wm: memref<40xbf16>, %outm: memref<?x40xf32>)
    -> (tensor<?x40xf32>, tensor<?x40xf32>) {
  %0 = nn.rms_norm %x, %w {eps = 1.0e-5 : f64}
      : tensor<?x40xf32>, tensor<40xf32> -> tensor<?x40xf32>
  %1 = nn.rms_norm %x, %w outs(%out : tensor<?x40xf32>) {eps = 0.0 : f64}
      : tensor<?x40xf32>, tensor<40xf32> -> tensor<?x40xf32>
  nn.rms_norm %xm, %wm outs(%outm : memref<?x40xf32>) {eps = 1.0e-5 : f64}
      : memref<?x40xf32>, memref<40xbf16>
  return %0, %1 : tensor<?x40xf32>, tensor<?x40xf32>
}

// CHECK-LABEL: func @rotary_table
// CHECK:         %{{.+}}:2 = nn.rotary_table %{{.+}}, %{{.+}} {inv_freq = array<f32: 1.000000e+00, 1.000000e-01>} : tensor<?x?xi64>, tensor<?xi64> -> tensor<?x2xf32>, tensor<?x2xf32>
// CHECK:         %{{.+}}:2 = nn.rotary_table %{{.+}}, %{{.+}} outs(%{{.+}}, %{{.+}} : tensor<?x2xf32>, tensor<?x2xf32>) {inv_freq = {{.+}}} : tensor<?x?xi64>, tensor<?xi64> -> tensor<?x2xf32>, tensor<?x2xf32>
// CHECK:         nn.rotary_table %{{.+}}, %{{.+}} outs(%{{.+}}, %{{.+}} : memref<?x2xf32>, memref<?x2xf32>) {inv_freq = {{.+}}} : memref<?x?xi64>, memref<?xi64>{{$}}
func.func @rotary_table(%ids: tensor<?x?xi64>, %l: tensor<?xi64>,
                        %c: tensor<?x2xf32>, %s: tensor<?x2xf32>,
                        %idsm: memref<?x?xi64>, %lm: memref<?xi64>,
                        %cm: memref<?x2xf32>, %sm: memref<?x2xf32>)
    -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  %0:2 = nn.rotary_table %ids, %l {inv_freq = array<f32: 1.0, 0.1>}
      : tensor<?x?xi64>, tensor<?xi64> -> tensor<?x2xf32>, tensor<?x2xf32>
  %1:2 = nn.rotary_table %ids, %l outs(%c, %s : tensor<?x2xf32>, tensor<?x2xf32>)
      {inv_freq = array<f32: 1.0, 0.1>}
      : tensor<?x?xi64>, tensor<?xi64> -> tensor<?x2xf32>, tensor<?x2xf32>
  nn.rotary_table %idsm, %lm outs(%cm, %sm : memref<?x2xf32>, memref<?x2xf32>)
      {inv_freq = array<f32: 1.0, 0.1>} : memref<?x?xi64>, memref<?xi64>
  return %0#0, %1#1 : tensor<?x2xf32>, tensor<?x2xf32>
}

// CHECK-LABEL: func @rotary
// CHECK:         nn.rotary %{{.+}}, %{{.+}}, %{{.+}} {heads = 5 : i64} : tensor<?x40xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x40xf32>
// CHECK:         nn.rotary %{{.+}}, %{{.+}}, %{{.+}} outs(%{{.+}} : tensor<?x40xf32>) {heads = 5 : i64} : tensor<?x40xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x40xf32>
// CHECK:         nn.rotary %{{.+}}, %{{.+}}, %{{.+}} outs(%{{.+}} : memref<?x40xf32>) {heads = 5 : i64} : memref<?x40xf32>, memref<?x4xf32>, memref<?x4xf32>{{$}}
func.func @rotary(%x: tensor<?x40xf32>, %c: tensor<?x4xf32>,
                  %out: tensor<?x40xf32>, %xm: memref<?x40xf32>,
                  %cm: memref<?x4xf32>, %outm: memref<?x40xf32>)
    -> (tensor<?x40xf32>, tensor<?x40xf32>) {
  %0 = nn.rotary %x, %c, %c {heads = 5 : i64}
      : tensor<?x40xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x40xf32>
  %1 = nn.rotary %x, %c, %c outs(%out : tensor<?x40xf32>) {heads = 5 : i64}
      : tensor<?x40xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x40xf32>
  nn.rotary %xm, %cm, %cm outs(%outm : memref<?x40xf32>) {heads = 5 : i64}
      : memref<?x40xf32>, memref<?x4xf32>, memref<?x4xf32>
  return %0, %1 : tensor<?x40xf32>, tensor<?x40xf32>
}

// The destination is required: there is no form without.
// CHECK-LABEL: func @cache_append
// CHECK:         nn.cache_append %{{.+}}, %{{.+}} layer(%{{.+}}) outs(%{{.+}} : tensor<2x?x?x5x8xf32>) : tensor<?x40xf32>, tensor<?xi64> -> tensor<2x?x?x5x8xf32>
// CHECK:         nn.cache_append %{{.+}}, %{{.+}} layer(%{{.+}}) outs(%{{.+}} : memref<2x?x?x5x8xf32>) : memref<?x40xf32>, memref<?xi64>{{$}}
func.func @cache_append(%k: tensor<?x40xf32>, %l: tensor<?xi64>, %i: index,
                        %cache: tensor<2x?x?x5x8xf32>, %km: memref<?x40xf32>,
                        %lm: memref<?xi64>, %cachem: memref<2x?x?x5x8xf32>)
    -> tensor<2x?x?x5x8xf32> {
  %0 = nn.cache_append %k, %l layer(%i) outs(%cache : tensor<2x?x?x5x8xf32>)
      : tensor<?x40xf32>, tensor<?xi64> -> tensor<2x?x?x5x8xf32>
  nn.cache_append %km, %lm layer(%i) outs(%cachem : memref<2x?x?x5x8xf32>)
      : memref<?x40xf32>, memref<?xi64>
  return %0 : tensor<2x?x?x5x8xf32>
}

// CHECK-LABEL: func @attention
// CHECK:         nn.attention %{{.+}}, %{{.+}}, %{{.+}}, %{{.+}} layer(%{{.+}}) {heads = 10 : i64, scale = 3.500000e-01 : f64} : tensor<?x80xf32>, tensor<2x?x?x5x8xf32>, tensor<2x?x?x5x8xf32>, tensor<?xi64> -> tensor<?x80xf32>
// CHECK:         nn.attention %{{.+}}, %{{.+}}, %{{.+}}, %{{.+}} layer(%{{.+}}) outs(%{{.+}} : tensor<?x80xf32>) {heads = 10 : i64, scale = 3.500000e-01 : f64, window = 4 : i64} : tensor<?x80xf32>,
// CHECK:         nn.attention %{{.+}}, %{{.+}}, %{{.+}}, %{{.+}} layer(%{{.+}}) outs(%{{.+}} : memref<?x80xf32>) {heads = 10 : i64, scale = 3.500000e-01 : f64} : memref<?x80xf32>, memref<2x?x?x5x8xf32>, memref<2x?x?x5x8xf32>, memref<?xi64>{{$}}
func.func @attention(%q: tensor<?x80xf32>, %k: tensor<2x?x?x5x8xf32>,
                     %l: tensor<?xi64>, %i: index, %out: tensor<?x80xf32>,
                     %qm: memref<?x80xf32>, %km: memref<2x?x?x5x8xf32>,
                     %lm: memref<?xi64>, %outm: memref<?x80xf32>)
    -> (tensor<?x80xf32>, tensor<?x80xf32>) {
  %0 = nn.attention %q, %k, %k, %l layer(%i)
      {heads = 10 : i64, scale = 0.35 : f64}
      : tensor<?x80xf32>, tensor<2x?x?x5x8xf32>, tensor<2x?x?x5x8xf32>,
        tensor<?xi64> -> tensor<?x80xf32>
  %1 = nn.attention %q, %k, %k, %l layer(%i) outs(%out : tensor<?x80xf32>)
      {heads = 10 : i64, scale = 0.35 : f64, window = 4 : i64}
      : tensor<?x80xf32>, tensor<2x?x?x5x8xf32>, tensor<2x?x?x5x8xf32>,
        tensor<?xi64> -> tensor<?x80xf32>
  nn.attention %qm, %km, %km, %lm layer(%i) outs(%outm : memref<?x80xf32>)
      {heads = 10 : i64, scale = 0.35 : f64}
      : memref<?x80xf32>, memref<2x?x?x5x8xf32>, memref<2x?x?x5x8xf32>,
        memref<?xi64>
  return %0, %1 : tensor<?x80xf32>, tensor<?x80xf32>
}

// CHECK-LABEL: func @last_rows
// CHECK:         nn.last_rows %{{.+}}, %{{.+}} : tensor<?x40xf32>, tensor<?x?xi64> -> tensor<?x40xf32>
// CHECK:         nn.last_rows %{{.+}}, %{{.+}} outs(%{{.+}} : tensor<?x40xf32>) : tensor<?x40xf32>, tensor<?x?xi64> -> tensor<?x40xf32>
// CHECK:         nn.last_rows %{{.+}}, %{{.+}} outs(%{{.+}} : memref<?x40xf32>) : memref<?x40xf32>, memref<?x?xi64>{{$}}
func.func @last_rows(%x: tensor<?x40xf32>, %ids: tensor<?x?xi64>,
                     %out: tensor<?x40xf32>, %xm: memref<?x40xf32>,
                     %idsm: memref<?x?xi64>, %outm: memref<?x40xf32>)
    -> (tensor<?x40xf32>, tensor<?x40xf32>) {
  %0 = nn.last_rows %x, %ids
      : tensor<?x40xf32>, tensor<?x?xi64> -> tensor<?x40xf32>
  %1 = nn.last_rows %x, %ids outs(%out : tensor<?x40xf32>)
      : tensor<?x40xf32>, tensor<?x?xi64> -> tensor<?x40xf32>
  nn.last_rows %xm, %idsm outs(%outm : memref<?x40xf32>)
      : memref<?x40xf32>, memref<?x?xi64>
  return %0, %1 : tensor<?x40xf32>, tensor<?x40xf32>
}

// Elementwise ops take tensors, vectors and scalars alike.
// CHECK-LABEL: func @elementwise
// CHECK:         nn.silu %{{.+}} : tensor<?x8xf32>
// CHECK:         nn.gelu %{{.+}} : tensor<?x8xf32>
// CHECK:         nn.gelu_tanh %{{.+}} : vector<8xf32>
// CHECK:         nn.relu %{{.+}} : vector<8xf32>
// CHECK:         nn.squared_relu %{{.+}} : f32
// CHECK:         nn.mul %{{.+}}, %{{.+}} : f32
// CHECK:         nn.add %{{.+}}, %{{.+}} : tensor<?x8xf32>
func.func @elementwise(%t: tensor<?x8xf32>, %v: vector<8xf32>, %f: f32)
    -> (tensor<?x8xf32>, vector<8xf32>, f32) {
  %0 = nn.silu %t : tensor<?x8xf32>
  %1 = nn.gelu %0 : tensor<?x8xf32>
  %2 = nn.gelu_tanh %v : vector<8xf32>
  %3 = nn.relu %2 : vector<8xf32>
  %4 = nn.squared_relu %f : f32
  %5 = nn.mul %4, %f : f32
  %6 = nn.add %0, %1 : tensor<?x8xf32>
  return %6, %3, %5 : tensor<?x8xf32>, vector<8xf32>, f32
}
