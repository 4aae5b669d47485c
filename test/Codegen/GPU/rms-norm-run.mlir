// Sums of squares have the bits of the CPU: rows of one step of 128
// columns and a part, of whole steps, of less than the chains, of one column;
// an odd number of rows, one, none. Weights of each type.

// RUN: moe-compile %s --target=cpu --target=cuda:sm_80 --target=cuda:sm_90a -o %t.so
// RUN: %python %S/../../Tools/Inputs/st.py make %t.x3 ids:I64:1,3=4,0,2
// RUN: %python %S/../../Tools/Inputs/st.py make %t.x9 ids:I64:3,3=4,0,2,1,1,3,0,2,4
// RUN: %python %S/../../Tools/Inputs/st.py make %t.x1 ids:I64:1,1=3
// RUN: %python %S/../../Tools/Inputs/st.py make %t.x0 ids:I64:1,0=
// RUN: for x in x9 x3 x1 x0; do for d in cpu emulated-cuda emulated-cuda:1; do moe-run %t.so -q --device=$d --params=synthetic:1 --input=%t.$x --output=%t.$x.$d || exit 1; done; cmp %t.$x.cpu %t.$x.emulated-cuda || exit 1; cmp %t.$x.cpu %t.$x.emulated-cuda:1 || exit 1; done

moe.parameter @t137 : tensor<5x137xf16> from [#moe.source<"t137", tensor<5x137xf16>, first = 0, count = 5, part = 0>]
moe.parameter @t256 : tensor<5x256xf32> from [#moe.source<"t256", tensor<5x256xf32>, first = 0, count = 5, part = 0>]
moe.parameter @t7 : tensor<5x7xbf16> from [#moe.source<"t7", tensor<5x7xbf16>, first = 0, count = 5, part = 0>]
moe.parameter @t1 : tensor<5x1xf32> from [#moe.source<"t1", tensor<5x1xf32>, first = 0, count = 5, part = 0>]
moe.parameter @w137 : tensor<137xf16> from [#moe.source<"w137", tensor<137xf16>, first = 0, count = 137, part = 0>]
moe.parameter @w256 : tensor<256xbf16> from [#moe.source<"w256", tensor<256xbf16>, first = 0, count = 256, part = 0>]
moe.parameter @w7 : tensor<7xf32> from [#moe.source<"w7", tensor<7xf32>, first = 0, count = 7, part = 0>]
moe.parameter @w1 : tensor<1xf32> from [#moe.source<"w1", tensor<1xf32>, first = 0, count = 1, part = 0>]
func.func @layer(
    %ids: tensor<?x?xi64> {moe.name = "ids", moe.shape = ["B", "S"]})
    -> (tensor<?x137xf32> {moe.name = "y137", moe.shape = ["B*S", 137]},
        tensor<?x256xf32> {moe.name = "y256", moe.shape = ["B*S", 256]},
        tensor<?x7xf32> {moe.name = "y7", moe.shape = ["B*S", 7]},
        tensor<?x1xf32> {moe.name = "y1", moe.shape = ["B*S", 1]}) {
  %t137 = moe.parameter_ref @t137 : tensor<5x137xf16>
  %t256 = moe.parameter_ref @t256 : tensor<5x256xf32>
  %t7 = moe.parameter_ref @t7 : tensor<5x7xbf16>
  %t1 = moe.parameter_ref @t1 : tensor<5x1xf32>
  %w137 = moe.parameter_ref @w137 : tensor<137xf16>
  %w256 = moe.parameter_ref @w256 : tensor<256xbf16>
  %w7 = moe.parameter_ref @w7 : tensor<7xf32>
  %w1 = moe.parameter_ref @w1 : tensor<1xf32>
  %x137 = nn.embedding %ids, %t137 : tensor<?x?xi64>, tensor<5x137xf16> -> tensor<?x137xf32>
  %x256 = nn.embedding %ids, %t256 : tensor<?x?xi64>, tensor<5x256xf32> -> tensor<?x256xf32>
  %x7 = nn.embedding %ids, %t7 : tensor<?x?xi64>, tensor<5x7xbf16> -> tensor<?x7xf32>
  %x1 = nn.embedding %ids, %t1 : tensor<?x?xi64>, tensor<5x1xf32> -> tensor<?x1xf32>
  %y137 = nn.rms_norm %x137, %w137 {eps = 1.0e-5 : f64} : tensor<?x137xf32>, tensor<137xf16> -> tensor<?x137xf32>
  %y256 = nn.rms_norm %x256, %w256 {eps = 1.0e-6 : f64} : tensor<?x256xf32>, tensor<256xbf16> -> tensor<?x256xf32>
  %y7 = nn.rms_norm %x7, %w7 {eps = 1.0e-5 : f64} : tensor<?x7xf32>, tensor<7xf32> -> tensor<?x7xf32>
  %y1 = nn.rms_norm %x1, %w1 {eps = 1.0e-5 : f64} : tensor<?x1xf32>, tensor<1xf32> -> tensor<?x1xf32>
  return %y137, %y256, %y7, %y1 : tensor<?x137xf32>, tensor<?x256xf32>, tensor<?x7xf32>, tensor<?x1xf32>
}
