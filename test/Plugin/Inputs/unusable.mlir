// Without a reference an op stays, and a remark says so.
// CHECK-LABEL: func @none
// CHECK:         unusable.none
func.func @none(%z: tensor<?x8xf32>) -> tensor<?x1xi32> {
  // expected-remark@+1 {{[Missed] unusable.none | Category:moe-expand-routing | Reason="no reference"}}
  %i = unusable.none %z : tensor<?x8xf32> -> tensor<?x1xi32>
  return %i : tensor<?x1xi32>
}

// -----

func.func @types(%z: tensor<?x8xf32>) -> tensor<?x1xi32> {
  // expected-error@+1 {{'unusable.types' op has a reference of types ('tensor<?x8xf32>'), expected ('tensor<?x1xi32>')}}
  %i = unusable.types %z : tensor<?x8xf32> -> tensor<?x1xi32>
  return %i : tensor<?x1xi32>
}
