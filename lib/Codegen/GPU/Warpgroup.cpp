//===- Warpgroup.cpp - The machinery of sm_90a kernels --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Warpgroup.h"

using namespace mlir;
using namespace mlir::moe;

static constexpr unsigned kClusterShared = 7;

//===----------------------------------------------------------------------===//
// Barriers
//===----------------------------------------------------------------------===//

static NVVM::MemScopeKindAttr getBlockScope(KernelBuilder &b) {
  return NVVM::MemScopeKindAttr::get(b.getContext(), NVVM::MemScopeKind::CTA);
}

void moe::initBarrier(KernelBuilder &b, Value barrier, int64_t arrivals) {
  NVVM::MBarrierInitOp::create(b, barrier, b.i32(arrivals), Value());
}

void moe::publishBarriers(KernelBuilder &b) {
  NVVM::FenceMbarrierInitOp::create(b);
}

void moe::waitFor(KernelBuilder &b, Value barrier, Value parity) {
  auto loop = scf::WhileOp::create(b, TypeRange(), ValueRange());
  OpBuilder::InsertionGuard guard(b);
  b.createBlock(&loop.getBefore());
  Value ended = NVVM::MBarrierTryWaitOp::create(
      b, b.getI1Type(), barrier, parity, /*ticks=*/Value(), getBlockScope(b));
  scf::ConditionOp::create(b, b.bitXor(ended, b.i1(true)), ValueRange());
  b.createBlock(&loop.getAfter());
  scf::YieldOp::create(b);
}

void moe::arrive(KernelBuilder &b, Value barrier) {
  NVVM::MBarrierArriveOp::create(b, b.getI64Type(), barrier, /*count=*/Value(),
                                 getBlockScope(b));
}

void moe::arriveExpecting(KernelBuilder &b, Value barrier, Value bytes) {
  NVVM::MBarrierArriveExpectTxOp::create(b, /*res=*/Type(), barrier, bytes,
                                         getBlockScope(b), b.getBoolAttr(false),
                                         Value());
}

Value Ring::full(KernelBuilder &b, Value stage) const {
  return b.at(b.getI64Type(), base, stage);
}
Value Ring::empty(KernelBuilder &b, Value stage) const {
  return b.at(b.getI64Type(), base, b.add(stage, b.i32(stages)));
}
void Ring::init(KernelBuilder &b, int64_t fullArrivals, int64_t emptyArrivals) {
  for (int64_t i = 0; i < stages; ++i) {
    initBarrier(b, full(b, b.i32(i)), fullArrivals);
    initBarrier(b, empty(b, b.i32(i)), emptyArrivals);
  }
}

RingPosition RingPosition::next(KernelBuilder &b, int64_t stages) const {
  Value after = b.add(stage, b.i32(1));
  Value wraps = b.compare(arith::CmpIPredicate::eq, after, b.i32(stages));
  return {b.select(wraps, b.i32(0), after),
          b.bitXor(phase, b.select(wraps, b.i32(1), b.i32(0)))};
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

static Value toCluster(KernelBuilder &b, Value shared) {
  return LLVM::AddrSpaceCastOp::create(b, b.pointer(kClusterShared), shared);
}

void moe::copyBox(KernelBuilder &b, Value shared, Value map, ValueRange places,
                  Value barrier) {
  NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
      b, toCluster(b, shared), map, places, barrier,
      /*im2colOffsets=*/ValueRange(), /*multicastMask=*/Value(),
      /*l2CacheHint=*/Value(),
      NVVM::TMALoadModeAttr::get(b.getContext(), NVVM::TMALoadMode::TILE),
      b.getBoolAttr(false), NVVM::CTAGroupKindAttr(), /*predicate=*/Value());
}

void moe::copyBulk(KernelBuilder &b, Value shared, Value global, Value bytes,
                   Value barrier) {
  NVVM::CpAsyncBulkGlobalToSharedClusterOp::create(
      b, toCluster(b, shared), global, barrier, bytes,
      /*multicastMask=*/Value(), /*l2CacheHint=*/Value());
}

void moe::copyChunk(KernelBuilder &b, Value shared, Value global, Value bytes) {
  // Chunks are used from shared memory alone: past L1.
  NVVM::CpAsyncOp::create(b, shared, global, b.getI32IntegerAttr(16),
                          NVVM::LoadCacheModifierKindAttr::get(
                              b.getContext(), NVVM::LoadCacheModifierKind::CG),
                          bytes);
}

void moe::commitChunks(KernelBuilder &b) {
  NVVM::CpAsyncCommitGroupOp::create(b);
}

void moe::publishChunks(KernelBuilder &b, int64_t pending) {
  NVVM::CpAsyncWaitGroupOp::create(b, b.getI32IntegerAttr(pending));
  // cp.async writes through the generic proxy, wgmma reads through the async
  // one (PTX ISA, "Async proxy").
  MLIRContext *context = b.getContext();
  NVVM::FenceProxyOp::create(
      b, NVVM::ProxyKindAttr::get(context, NVVM::ProxyKind::async_shared),
      NVVM::SharedSpaceAttr::get(context, NVVM::SharedSpace::shared_cta));
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

Value moe::describeTile(KernelBuilder &b, Value shared) {
  // PTX ISA, "Matrix descriptor format": address, leading dimension (ignored
  // with this swizzle), eight rows, 128-byte swizzle.
  constexpr int64_t kLeading = 1, kStride = 8 * kSwizzleRow / 16, kSwizzle = 1;
  Value address = LLVM::PtrToIntOp::create(b, b.getI32Type(), shared);
  Value units = b.shr(b.bitAnd(address, b.i32(0x3ffff)), 4);
  return b.bitOr(b.toI64(units),
                 b.i64(kSwizzle << 62 | kStride << 32 | kLeading << 16));
}

LLVM::LLVMStructType moe::getAccumulatorType(MLIRContext *context,
                                             int64_t columns) {
  SmallVector<Type> types(64 * columns / kWarpgroup, Float32Type::get(context));
  return LLVM::LLVMStructType::getLiteral(context, types);
}

Value moe::multiply(KernelBuilder &b, Value sums, Value a, Value bTile,
                    Type element, int64_t columns, bool first) {
  MLIRContext *context = b.getContext();
  constexpr int64_t kSlice = 16, kSlices = 4; // of k
  auto type = NVVM::WGMMATypesAttr::get(context, element.isF16()
                                                     ? NVVM::WGMMATypes::f16
                                                     : NVVM::WGMMATypes::bf16);
  auto one = NVVM::WGMMAScaleInAttr::get(context, NVVM::WGMMAScaleIn::one);
  NVVM::WgmmaFenceAlignedOp::create(b);
  for (int64_t i = 0; i < kSlices; ++i) {
    Value offset = b.i64(i * kSlice * 2 / 16);
    bool overwrite = first && i == 0;
    sums = NVVM::WgmmaMmaAsyncOp::create(
        b, sums.getType(), sums, b.add(a, offset), b.add(bTile, offset),
        NVVM::MMAShapeAttr::get(context, 64, columns, kSlice), type, type,
        NVVM::WGMMATypesAttr::get(context, NVVM::WGMMATypes::f32),
        NVVM::WGMMAScaleOutAttr::get(context, overwrite
                                                  ? NVVM::WGMMAScaleOut::zero
                                                  : NVVM::WGMMAScaleOut::one),
        one, one, NVVM::MMALayoutAttr::get(context, NVVM::MMALayout::row),
        NVVM::MMALayoutAttr::get(context, NVVM::MMALayout::col),
        NVVM::MMAIntOverflowAttr());
  }
  NVVM::WgmmaGroupSyncAlignedOp::create(b);
  return sums;
}

void moe::waitForPrevious(KernelBuilder &b) {
  NVVM::WgmmaWaitGroupSyncOp::create(b, b.getI64IntegerAttr(1));
}

Value moe::waitForSums(KernelBuilder &b, Value sums) {
  // In one piece of assembly with all sums: nothing else orders their readers
  // behind the wait.
  int64_t count = cast<LLVM::LLVMStructType>(sums.getType()).getBody().size();
  auto values = llvm::map_to_vector(llvm::seq(count), [&](int64_t i) -> Value {
    return LLVM::ExtractValueOp::create(b, sums, i);
  });
  return b.assembleTied("wgmma.wait_group.sync.aligned 0;", values,
                        "~{memory}");
}

Value moe::getSumRow(KernelBuilder &b, Value thread) {
  Value warp = b.shr(thread, 5), lane = b.bitAnd(thread, b.i32(31));
  return b.add(b.mul(warp, b.i32(16)), b.shr(lane, 2));
}
Value moe::getSumColumn(KernelBuilder &b, Value thread) {
  return b.mul(b.bitAnd(thread, b.i32(3)), b.i32(2));
}

//===----------------------------------------------------------------------===//
// Roles
//===----------------------------------------------------------------------===//

Value moe::getWarpgroup(KernelBuilder &b) {
  return b.shuffle(b.div(b.threadId(), b.i32(kWarpgroup)), b.i32(0));
}

Value moe::elect(KernelBuilder &b) {
  return NVVM::ElectSyncOp::create(b, b.getI1Type(), Value());
}

void moe::setRegisters(KernelBuilder &b, int64_t count, bool increase) {
  auto action = increase ? NVVM::SetMaxRegisterAction::increase
                         : NVVM::SetMaxRegisterAction::decrease;
  NVVM::SetMaxRegisterOp::create(
      b, b.getI32IntegerAttr(count),
      NVVM::SetMaxRegisterActionAttr::get(b.getContext(), action));
}

void moe::branch(KernelBuilder &b, Value condition, function_ref<void()> ifTrue,
                 function_ref<void()> ifFalse) {
  auto op = scf::IfOp::create(b, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.thenBlock());
  ifTrue();
  b.setInsertionPointToStart(op.elseBlock());
  ifFalse();
}
