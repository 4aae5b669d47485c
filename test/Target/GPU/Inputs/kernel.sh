# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# kernel.sh BODY: a module for moe-compile --lowered with the gpu.module in the
# file BODY.
cat <<'END'
func.func @f(%x: tensor<4xf32> {moe.name = "x", moe.shape = [4]})
    -> (tensor<4xf32> {moe.name = "y", moe.shape = [4]}) {
  return %x : tensor<4xf32>
}
module @lowered attributes {gpu.container_module} {
  llvm.func @moe.entry.f(%context: !llvm.ptr, %slots: !llvm.ptr) { llvm.return }
END
cat "$1"
echo '}'
