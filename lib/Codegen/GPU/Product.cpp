//===- Product.cpp - What kernels of products have in common --------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Product.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/NN/IR/NN.h"

using namespace mlir;
using namespace mlir::moe;

Value Product::getRows(ImplicitLocOpBuilder &b) const {
  return b.createOrFold<memref::DimOp>(gather ? gather : a, 0);
}

Value Product::getMaxRowTiles(ImplicitLocOpBuilder &b, Value rows,
                              int64_t tileRows) const {
  Value size = arith::ConstantIndexOp::create(b, tileRows);
  if (!offsets)
    return b.createOrFold<arith::CeilDivUIOp>(rows, size);
  return b.createOrFold<arith::AddIOp>(
      b.createOrFold<arith::DivUIOp>(rows, size),
      b.createOrFold<arith::MinUIOp>(
          rows, arith::ConstantIndexOp::create(b, experts)));
}

SmallVector<Value> Product::getArguments(ImplicitLocOpBuilder &b,
                                         ArrayRef<Value> operands,
                                         Value rows) const {
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, value);
  };
  SmallVector<Value> arguments(operands);
  arguments.push_back(out);
  llvm::append_range(arguments, biases);
  if (offsets)
    arguments.push_back(offsets);
  if (gather)
    arguments.push_back(gather);
  if (rowToken)
    arguments.append({rowToken, rowWeight});
  arguments.append({rows, constant(n), constant(k)});
  if (offsets)
    arguments.push_back(constant(experts));
  return arguments;
}

FailureOr<Product> moe::readProduct(Operation *op, const GPUTarget &target) {
  Product product;
  if (auto grouped = dyn_cast<GroupedMatmulOp>(op)) {
    if (!grouped.getScatter().empty()) {
      if (target.deterministic)
        return failure();
      product.rowToken = grouped.getScatter()[0];
      product.rowWeight = grouped.getScatter()[1];
    }
    product.a = grouped.getA();
    product.offsets = grouped.getOffsets();
    product.gather = grouped.getGather();
    llvm::append_range(product.bs, grouped.getBs());
    llvm::append_range(product.biases, grouped.getBiases());
    product.epilogue = &grouped.getEpilogue();
  } else if (auto linear = dyn_cast<nn::LinearOp>(op)) {
    product.a = linear.getX();
    product.bs.push_back(linear.getWeight());
    if (linear.getBias())
      product.biases.push_back(linear.getBias());
    product.accumulate = linear.getAccumulate();
  } else if (auto router = dyn_cast<RouterLogitsOp>(op)) {
    product.a = router.getX();
    product.bs.push_back(router.getRouter());
    if (router.getBias())
      product.biases.push_back(router.getBias());
  } else {
    return failure();
  }
  product.out = cast<DestinationOpInterface>(op).getOutsMutable()[0].get();
  auto weights = cast<MemRefType>(product.bs[0].getType());
  if (!hasDenseOperands(op) || !weights.hasStaticShape())
    return failure();
  product.k = weights.getShape().back();
  product.n = weights.getShape().drop_back().back();
  product.experts = product.offsets ? weights.getDimSize(0) : 1;
  return product;
}

ProductArguments::ProductArguments(unsigned parts, bool hasBias, bool grouped,
                                   bool gathers, bool scatters) {
  unsigned next = 1;
  b = next;
  next += parts;
  out = next++;
  bias = next;
  next += hasBias ? parts : 0;
  offsets = next;
  next += grouped;
  gather = next;
  next += gathers;
  scatter = next;
  next += scatters ? 2 : 0;
  m = next++;
  n = next++;
  k = next++;
  experts = next;
  count = next + grouped;
}

SmallVector<Type> ProductArguments::getTypes(MLIRContext *context) const {
  SmallVector<Type> types(m, LLVM::LLVMPointerType::get(context));
  types.append(count - m, IntegerType::get(context, 64));
  return types;
}

Value moe::applyEpilogue(KernelBuilder &b, Region *epilogue,
                         ValueRange values) {
  if (!epilogue)
    return values[0];
  Block &body = epilogue->front();
  IRMapping mapping;
  mapping.map(body.getArguments(), values);
  for (Operation &op : body.without_terminator())
    b.clone(op, mapping);
  return mapping.lookupOrDefault(body.getTerminator()->getOperand(0));
}

ScatteredRow ScatteredRow::load(KernelBuilder &b, unsigned argument,
                                Value row) {
  auto get = [&](unsigned which, Type type) {
    return b.load(type, b.at(type, b.global(b.argument(argument + which)), row),
                  4);
  };
  return {get(0, b.getI32Type()), get(1, b.getF32Type())};
}

void ScatteredRow::add(KernelBuilder &b, ValueRange values, Value address,
                       bool pairs) const {
  // PTX ISA, "red": relaxed, and atomic on the whole device. LLVM has no such
  // instruction for pairs.
  auto products = llvm::map_to_vector(
      values, [&](Value value) { return b.mulF(weight, value); });
  if (pairs && products.size() == 2) {
    b.assemble("red.global.add.v2.f32 [$0], {$1, $2};", "l,f,f,~{memory}",
               {address, products[0], products[1]});
    return;
  }
  for (auto [i, product] : llvm::enumerate(products))
    b.assemble("red.global.add.f32 [$0], $1;", "l,f,~{memory}",
               {b.at(b.getF32Type(), address, b.i32(i)), product});
}

bool moe::canAddPairs(const GPUTarget &target, int64_t n) {
  return target.arch >= 90 && n % 2 == 0;
}

void moe::setUnordered(LLVM::LLVMFuncOp kernel) {
  kernel->setAttr(MoEDialect::kUnorderedAttr,
                  UnitAttr::get(kernel.getContext()));
}
