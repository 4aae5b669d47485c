
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
