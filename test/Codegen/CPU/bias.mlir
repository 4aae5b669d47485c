// A bias of 16 bits behind a last panel that is not full: linking needs no
// helpers of a compiler's library, and the values are those of plain loops.
// RUN: moe-compile %s -o %t.so
// RUN: moe-compile %s -O0 -o %t.plain.so
// RUN: %python %S/../../Tools/Inputs/st.py make %t.x x:F32:3,2=1,0,0,1,2,3
// RUN: moe-run %t.so -q --params=synthetic:3 --input=%t.x --output=%t.packed --level=3
// RUN: moe-run %t.plain.so -q --params=synthetic:3 --input=%t.x --output=%t.plain
// RUN: cmp %t.packed %t.plain
// RUN: moe-run %t.so -q --params=synthetic:3 --input=%t.x --output=%t.packed
// RUN: cmp %t.packed %t.plain
moe.parameter @wb : tensor<21x2xbf16> from [#moe.source<"wb", tensor<21x2xbf16>, first = 0, count = 21, part = 0>]
moe.parameter @bb : tensor<21xbf16> from [#moe.source<"bb", tensor<21xbf16>, first = 0, count = 21, part = 0>]
moe.parameter @wh : tensor<5x2xf16> from [#moe.source<"wh", tensor<5x2xf16>, first = 0, count = 5, part = 0>]
moe.parameter @bh : tensor<5xf16> from [#moe.source<"bh", tensor<5xf16>, first = 0, count = 5, part = 0>]
func.func @f(%x: tensor<?x2xf32> {moe.name = "x", moe.shape = ["T", 2]})
    -> (tensor<?x21xf32> {moe.name = "b", moe.shape = ["T", 21]},
        tensor<?x5xf32> {moe.name = "h", moe.shape = ["T", 5]}) {
  %wb = moe.parameter_ref @wb : tensor<21x2xbf16>
  %bb = moe.parameter_ref @bb : tensor<21xbf16>
  %b = nn.linear %x, %wb bias(%bb : tensor<21xbf16>)
      : tensor<?x2xf32>, tensor<21x2xbf16> -> tensor<?x21xf32>
  %wh = moe.parameter_ref @wh : tensor<5x2xf16>
  %bh = moe.parameter_ref @bh : tensor<5xf16>
  %h = nn.linear %x, %wh bias(%bh : tensor<5xf16>)
      : tensor<?x2xf32>, tensor<5x2xf16> -> tensor<?x5xf32>
  return %b, %h : tensor<?x21xf32>, tensor<?x5xf32>
}
