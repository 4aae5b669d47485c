// RUN: moe-opt %s --split-input-file --verify-diagnostics

func.func @linear_c1(%x: tensor<?x16xf32>, %w: tensor<8x15xf32>) {
  // expected-error@+1 {{'nn.linear' op columns of x (16) must equal columns of weight (15)}}
  %0 = nn.linear %x, %w : tensor<?x16xf32>, tensor<8x15xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @linear_c2(%x: tensor<?x16xf32>, %w: tensor<8x16xf32>,
                     %b: tensor<9xf32>) {
  // expected-error@+1 {{'nn.linear' op length of bias (9) must equal rows of weight (8)}}
  %0 = nn.linear %x, %w bias(%b : tensor<9xf32>)
      : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @linear_c3(%x: tensor<?x16xf32>, %w: tensor<8x16xf32>) {
  // expected-error@+1 {{'nn.linear' op accumulate needs a destination}}
  %0 = nn.linear %x, %w accumulate
      : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @linear_c4(%x: tensor<?x16xf32>, %w: tensor<8x16xf32>) {
  // expected-error@+1 {{'nn.linear' op result 0 must be 'tensor<?x8xf32>', got 'tensor<?x8xf64>'}}
  %0 = nn.linear %x, %w
      : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf64>
  return
}

// -----

func.func @linear_c4_accumulate(%x: tensor<?x16xbf16>, %w: tensor<8x16xf32>,
                                %y: tensor<?x8xbf16>) {
  // expected-error@+1 {{'nn.linear' op result 0 must be 'tensor<?x8xf32>', got 'tensor<?x8xbf16>'}}
  %0 = nn.linear %x, %w outs(%y : tensor<?x8xbf16>) accumulate
      : tensor<?x16xbf16>, tensor<8x16xf32> -> tensor<?x8xbf16>
  return
}

// -----

func.func @linear_result(%x: tensor<3x16xf32>, %w: tensor<8x16xf32>) {
  // expected-error@+1 {{'nn.linear' op result 0 must be 'tensor<3x8xf32>', got 'tensor<3x16xf32>'}}
  %0 = nn.linear %x, %w
      : tensor<3x16xf32>, tensor<8x16xf32> -> tensor<3x16xf32>
  return
}

// -----

func.func @linear_element(%x: tensor<?x16xf64>, %w: tensor<8x16xf32>) {
  // expected-error@+1 {{'nn.linear' op operand #0 must be 2D tensor of 32-bit float or 16-bit float or bfloat16 type values or 2D memref of 32-bit float or 16-bit float or bfloat16 type values, but got 'tensor<?x16xf64>'}}
  %0 = nn.linear %x, %w : tensor<?x16xf64>, tensor<8x16xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @embedding_rows(%ids: tensor<2x3xi64>, %t: tensor<101x40xf32>) {
  // expected-error@+1 {{'nn.embedding' op result 0 must be 'tensor<6x40xf32>', got 'tensor<5x40xf32>'}}
  %0 = nn.embedding %ids, %t
      : tensor<2x3xi64>, tensor<101x40xf32> -> tensor<5x40xf32>
  return
}

// -----

// B * S does not fit in 64 bits.
func.func @embedding_overflow(%ids: tensor<4294967296x4294967296xi64>,
                              %t: tensor<101x40xf32>) {
  // expected-error@+1 {{'nn.embedding' op result 0 must be 'tensor<9223372036854775807x40xf32>', got 'tensor<0x40xf32>'}}
  %0 = nn.embedding %ids, %t : tensor<4294967296x4294967296xi64>,
      tensor<101x40xf32> -> tensor<0x40xf32>
  return
}

// -----

func.func @rms_norm_c1(%x: tensor<?x40xf32>, %w: tensor<41xf32>) {
  // expected-error@+1 {{'nn.rms_norm' op columns of x (40) must equal length of weight (41)}}
  %0 = nn.rms_norm %x, %w {eps = 1.0e-5 : f64}
      : tensor<?x40xf32>, tensor<41xf32> -> tensor<?x40xf32>
  return
}

// -----

func.func @rms_norm_c2_negative(%x: tensor<?x40xf32>, %w: tensor<40xf32>) {
  // expected-error@+1 {{'nn.rms_norm' op eps must be finite and not negative}}
  %0 = nn.rms_norm %x, %w {eps = -1.0e-5 : f64}
      : tensor<?x40xf32>, tensor<40xf32> -> tensor<?x40xf32>
  return
}

// -----

func.func @rms_norm_c2_infinite(%x: tensor<?x40xf32>, %w: tensor<40xf32>) {
  // expected-error@+1 {{'nn.rms_norm' op eps must be finite and not negative}}
  %0 = nn.rms_norm %x, %w {eps = 0x7FF0000000000000 : f64}
      : tensor<?x40xf32>, tensor<40xf32> -> tensor<?x40xf32>
  return
}

// -----

func.func @rotary_table_c1(%ids: tensor<?x?xi64>, %l: tensor<?xi64>) {
  // expected-error@+1 {{'nn.rotary_table' op inv_freq must not be empty}}
  %0:2 = nn.rotary_table %ids, %l {inv_freq = array<f32>}
      : tensor<?x?xi64>, tensor<?xi64> -> tensor<?x0xf32>, tensor<?x0xf32>
  return
}

// -----

func.func @rotary_table_c2(%ids: tensor<?x?xi64>, %l: tensor<?xi64>) {
  // expected-error@+1 {{'nn.rotary_table' op inv_freq must be finite}}
  %0:2 = nn.rotary_table %ids, %l {inv_freq = array<f32: 1.0, 0x7FC00000>}
      : tensor<?x?xi64>, tensor<?xi64> -> tensor<?x2xf32>, tensor<?x2xf32>
  return
}

// -----

func.func @rotary_table_c3(%ids: tensor<3x?xi64>, %l: tensor<2xi64>) {
  // expected-error@+1 {{'nn.rotary_table' op rows of ids (3) must equal length of lengths (2)}}
  %0:2 = nn.rotary_table %ids, %l {inv_freq = array<f32: 1.0>}
      : tensor<3x?xi64>, tensor<2xi64> -> tensor<?x1xf32>, tensor<?x1xf32>
  return
}

// -----

func.func @rotary_c1(%x: tensor<?x40xf32>, %c: tensor<?x4xf32>) {
  // expected-error@+1 {{'nn.rotary' op heads must be at least 1, got -5}}
  %0 = nn.rotary %x, %c, %c {heads = -5 : i64}
      : tensor<?x40xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x40xf32>
  return
}

// -----

func.func @rotary_c2_columns(%x: tensor<?x40xf32>, %c: tensor<?x4xf32>,
                             %s: tensor<?x5xf32>) {
  // expected-error@+1 {{'nn.rotary' op columns of x (40) must equal 2 * heads * columns of the table (50)}}
  %0 = nn.rotary %x, %c, %s {heads = 5 : i64}
      : tensor<?x40xf32>, tensor<?x4xf32>, tensor<?x5xf32> -> tensor<?x40xf32>
  return
}

// -----

func.func @rotary_c2_overflow(%x: tensor<?x40xf32>, %c: tensor<?x4xf32>) {
  // expected-error@+1 {{'nn.rotary' op columns of x (40) must equal 2 * heads * columns of the table (9223372036854775807)}}
  %0 = nn.rotary %x, %c, %c {heads = 4611686018427387909 : i64}
      : tensor<?x40xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x40xf32>
  return
}

// -----

func.func @rotary_c2_rows(%x: tensor<6x40xf32>, %c: tensor<5x4xf32>) {
  // expected-error@+1 {{'nn.rotary' op rows of x (6) must equal rows of the table (5)}}
  %0 = nn.rotary %x, %c, %c {heads = 5 : i64}
      : tensor<6x40xf32>, tensor<5x4xf32>, tensor<5x4xf32> -> tensor<6x40xf32>
  return
}

// -----

func.func @cache_append_c1(%x: tensor<?x40xf32>, %l: tensor<?xi64>, %i: index) {
  // expected-error@+1 {{'nn.cache_append' op needs the cache as destination}}
  %0 = "nn.cache_append"(%x, %l, %i)
      : (tensor<?x40xf32>, tensor<?xi64>, index) -> tensor<2x?x?x5x8xf32>
  return
}

// -----

func.func @cache_append_c2(%x: tensor<?x41xf32>, %l: tensor<?xi64>, %i: index,
                           %c: tensor<2x?x?x5x8xf32>) {
  // expected-error@+1 {{'nn.cache_append' op columns of x (41) must equal heads * head size of the cache (40)}}
  %0 = nn.cache_append %x, %l layer(%i) outs(%c : tensor<2x?x?x5x8xf32>)
      : tensor<?x41xf32>, tensor<?xi64> -> tensor<2x?x?x5x8xf32>
  return
}

// -----

func.func @cache_append_c3(%x: tensor<?x40xf32>, %l: tensor<3xi64>, %i: index,
                           %c: tensor<2x4x?x5x8xf32>) {
  // expected-error@+1 {{'nn.cache_append' op length of lengths (3) must equal sequences of the cache (4)}}
  %0 = nn.cache_append %x, %l layer(%i) outs(%c : tensor<2x4x?x5x8xf32>)
      : tensor<?x40xf32>, tensor<3xi64> -> tensor<2x4x?x5x8xf32>
  return
}

// -----

func.func @attention_c1(%q: tensor<?x40xf32>, %k: tensor<2x?x?x5x8xf32>,
                        %v: tensor<3x?x?x5x8xf32>, %l: tensor<?xi64>,
                        %i: index) {
  // expected-error@+1 {{'nn.attention' op keys 'tensor<2x?x?x5x8xf32>' and values 'tensor<3x?x?x5x8xf32>' differ in shape}}
  %0 = nn.attention %q, %k, %v, %l layer(%i) {heads = 5 : i64, scale = 0.5 : f64}
      : tensor<?x40xf32>, tensor<2x?x?x5x8xf32>, tensor<3x?x?x5x8xf32>,
        tensor<?xi64> -> tensor<?x40xf32>
  return
}

// -----

func.func @attention_c2_multiple(%q: tensor<?x48xf32>,
                                 %k: tensor<2x?x?x5x8xf32>, %l: tensor<?xi64>,
                                 %i: index) {
  // expected-error@+1 {{'nn.attention' op heads (6) must be a multiple of the key/value heads in 'tensor<2x?x?x5x8xf32>'}}
  %0 = nn.attention %q, %k, %k, %l layer(%i) {heads = 6 : i64, scale = 0.5 : f64}
      : tensor<?x48xf32>, tensor<2x?x?x5x8xf32>, tensor<2x?x?x5x8xf32>,
        tensor<?xi64> -> tensor<?x48xf32>
  return
}

// -----

func.func @attention_c2_none(%q: tensor<?x40xf32>, %k: tensor<2x?x?x0x8xf32>,
                             %l: tensor<?xi64>, %i: index) {
  // expected-error@+1 {{'nn.attention' op heads (5) must be a multiple of the key/value heads in 'tensor<2x?x?x0x8xf32>'}}
  %0 = nn.attention %q, %k, %k, %l layer(%i) {heads = 5 : i64, scale = 0.5 : f64}
      : tensor<?x40xf32>, tensor<2x?x?x0x8xf32>, tensor<2x?x?x0x8xf32>,
        tensor<?xi64> -> tensor<?x40xf32>
  return
}

// -----

func.func @attention_c3(%q: tensor<?x41xf32>, %k: tensor<2x?x?x5x8xf32>,
                        %l: tensor<?xi64>, %i: index) {
  // expected-error@+1 {{'nn.attention' op columns of q (41) must equal heads * head size (40)}}
  %0 = nn.attention %q, %k, %k, %l layer(%i) {heads = 5 : i64, scale = 0.5 : f64}
      : tensor<?x41xf32>, tensor<2x?x?x5x8xf32>, tensor<2x?x?x5x8xf32>,
        tensor<?xi64> -> tensor<?x41xf32>
  return
}

// -----

func.func @attention_c4(%q: tensor<?x40xf32>, %k: tensor<2x?x?x5x8xf32>,
                        %l: tensor<?xi64>, %i: index) {
  // expected-error@+1 {{'nn.attention' op window must be at least 1, got 0}}
  %0 = nn.attention %q, %k, %k, %l layer(%i)
      {heads = 5 : i64, scale = 0.5 : f64, window = 0 : i64}
      : tensor<?x40xf32>, tensor<2x?x?x5x8xf32>, tensor<2x?x?x5x8xf32>,
        tensor<?xi64> -> tensor<?x40xf32>
  return
}

// -----

func.func @attention_c5(%q: tensor<?x40xf32>, %k: tensor<2x4x?x5x8xf32>,
                        %l: tensor<3xi64>, %i: index) {
  // expected-error@+1 {{'nn.attention' op length of lengths (3) must equal sequences of the cache (4)}}
  %0 = nn.attention %q, %k, %k, %l layer(%i) {heads = 5 : i64, scale = 0.5 : f64}
      : tensor<?x40xf32>, tensor<2x4x?x5x8xf32>, tensor<2x4x?x5x8xf32>,
        tensor<3xi64> -> tensor<?x40xf32>
  return
}

// -----

func.func @attention_c6(%q: tensor<?x40xf32>, %k: tensor<2x?x?x5x8xf32>,
                        %l: tensor<?xi64>, %i: index) {
  // expected-error@+1 {{'nn.attention' op scale must be finite}}
  %0 = nn.attention %q, %k, %k, %l layer(%i)
      {heads = 5 : i64, scale = 0x7FF0000000000000 : f64}
      : tensor<?x40xf32>, tensor<2x?x?x5x8xf32>, tensor<2x?x?x5x8xf32>,
        tensor<?xi64> -> tensor<?x40xf32>
  return
}

// -----

func.func @last_rows_c1(%x: tensor<5x40xf32>, %ids: tensor<2x3xi64>) {
  // expected-error@+1 {{'nn.last_rows' op rows of x (5) must equal tokens in ids (6)}}
  %0 = nn.last_rows %x, %ids
      : tensor<5x40xf32>, tensor<2x3xi64> -> tensor<2x40xf32>
  return
}

// -----

func.func @elementwise_types(%x: tensor<?x8xf32>, %y: tensor<?x9xf32>) {
  // expected-error@+1 {{'nn.mul' op all non-scalar operands/results must have the same shape and base type}}
  %0 = "nn.mul"(%x, %y)
      : (tensor<?x8xf32>, tensor<?x9xf32>) -> tensor<?x8xf32>
  return
}

// -----

func.func @elementwise_integers(%x: tensor<?x8xi32>) {
  // expected-error@+1 {{'nn.relu' op operand #0 must be floating-point-like, but got 'tensor<?x8xi32>'}}
  %0 = nn.relu %x : tensor<?x8xi32>
  return
}
