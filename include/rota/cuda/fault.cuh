#pragma once

#include <cstdint>

#include <rota/core/status.hpp>
#include <rota/cuda/ptx/memory.cuh>
#include <rota/cuda/ptx/thread.cuh>

// What only the device can find wrong (a length beyond a store's capacity, a budget below what is
// protected) goes into a word of device memory that the caller owns. It is sticky: while it is set,
// every kernel of this backend returns at once, so that nothing is built on a failed step.

namespace rota::cuda {

/// What a fault is about.
enum class culprit : std::uint8_t {
  none,
  store,
  tokens,
  groups,
  selection,
  length,
  k,
  types,
  query,
  queries,
  limit,
  index,
  pages
};

/// The name of an argument, as a status has it.
constexpr const char* name_of(culprit c) {
  switch (c) {
    case culprit::none:
      return "";
    case culprit::store:
      return "store";
    case culprit::tokens:
      return "tokens";
    case culprit::groups:
      return "groups";
    case culprit::selection:
      return "selection";
    case culprit::length:
      return "length";
    case culprit::k:
      return "k";
    case culprit::types:
      return "types";
    case culprit::query:
      return "q";
    case culprit::queries:
      return "queries";
    case culprit::limit:
      return "limit";
    case culprit::index:
      return "index";
    case culprit::pages:
      return "store.pages";
  }
  return "";
}

/// What a fault word says, once it has been copied to the host.
constexpr status status_of_fault(std::uint32_t word) {
  if (word == 0) return {};
  return {static_cast<errc>(word & 0xffu), name_of(static_cast<culprit>(word >> 8 & 0xffu))};
}

/// Reports from a kernel; the first report stays.
ROTA_DEVICE void report(std::uint32_t* fault, errc code, culprit about) {
  ptx::atomic_exchange_if(
      fault, 0u, static_cast<std::uint32_t>(code) | static_cast<std::uint32_t>(about) << 8);
}

/// Whether something has been reported. All threads of a block ask at once and get the same answer,
/// whatever other blocks report meanwhile: a block that was of two minds would hang.
ROTA_DEVICE bool failed(const std::uint32_t* fault) {
  return ptx::sync_block_or(ptx::load(fault) != 0);
}

}  // namespace rota::cuda
