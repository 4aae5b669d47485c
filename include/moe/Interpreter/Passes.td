//===- Passes.td - Passes that execute --------------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_INTERPRETER_PASSES_TD
#define MOE_INTERPRETER_PASSES_TD
include "mlir/Pass/PassBase.td"

def MoEInterpret : Pass<"moe-interpret", "ModuleOp"> {
  let summary = "Make a function without arguments return its value";
  let description = [{
    Runs the interpreter and leaves the results as constants. An op that the
    interpreter cannot execute is an error, and so is a parameter: its values
    are not in the module.
    ```mlir
    func.func @main() -> tensor<1xf32> {
      %x = arith.constant dense<-1.0> : tensor<1xf32>
      %y = nn.relu %x : tensor<1xf32>
      return %y : tensor<1xf32>
    }
    // ==>
    func.func @main() -> tensor<1xf32> {
      %y = arith.constant dense<0.0> : tensor<1xf32>
      return %y : tensor<1xf32>
    }
    ```
  }];
  let options = [
    Option<"function", "function", "std::string", /*default=*/"\"main\"",
           "Which function to run">,
    Option<"useDouble", "f64", "bool", /*default=*/"false",
           "Compute in double precision">];
  let dependentDialects = ["arith::ArithDialect", "tensor::TensorDialect"];
}
#endif // MOE_INTERPRETER_PASSES_TD
