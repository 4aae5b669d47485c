func.func @k(%z: tensor<?x2xf32>) {
  // expected-error@+1 {{'tempered.top_k' op k (3) must be in [1, experts]}}
  %i, %w = tempered.top_k %z, k = 3, temperature = 1.0
      : tensor<?x2xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
  return
}
