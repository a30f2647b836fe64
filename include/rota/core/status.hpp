#pragma once

#include <cstdint>

#include <rota/core/config.hpp>

namespace rota {

/// What went wrong. `ok` is zero.
enum class errc : std::uint8_t {
  ok = 0,
  null_view,      ///< a required pointer is null
  bad_shape,      ///< an extent is negative, zero where it may not be, or disagrees with another
  bad_stride,     ///< a stride makes rows overlap or cannot be addressed
  bad_alignment,  ///< memory is not aligned as documented
  heads_not_divisible,  ///< q_heads is not a multiple of kv_heads
  bad_group_width,      ///< d_v is not at most 16 slices of a multiple of 16 bytes each
  bad_ratio,            ///< a ratio lies outside [0, 1] or is NaN
  bad_count,            ///< a count is negative or too large
  bad_parameter,        ///< another policy parameter is out of its documented range
  budget_too_small,     ///< the budget cannot hold the protected tokens
  overlapping_memory,   ///< an output overlaps an input or another output
  workspace_too_small,  ///< fewer bytes than workspace_bytes() says, or misaligned workspace
  store_too_small,      ///< the memory for the store cannot hold the selection
  tail_full,            ///< no room for the appended tokens: reroute or roll back
  bad_store,            ///< the memory does not hold a store of this type
  bad_selection,        ///< a selection is not ascending, in range, or within its masks
  bad_position,         ///< positions do not ascend
  tail_too_short,       ///< fewer tokens in the tail than are to be taken back
  damaged,              ///< saved bytes are incomplete or altered
  other_version,        ///< saved by another version, or with the other byte order
  other_policies,       ///< saved by other policies than are asked for
  other_model,          ///< saved for another model than is asked for
  unsupported,          ///< this backend has no kernel for the device, element or head size
  wrong_memory,         ///< memory that the backend's device cannot use
  device_failure,       ///< the device's runtime refused a call; the argument is its error's name
};

/// One static sentence for each code.
constexpr const char* describe(errc code) {
  switch (code) {
    case errc::ok:
      return "ok";
    case errc::null_view:
      return "a required pointer is null";
    case errc::bad_shape:
      return "an extent is out of range or disagrees with another view";
    case errc::bad_stride:
      return "a stride makes rows overlap or cannot be addressed";
    case errc::bad_alignment:
      return "memory is not aligned as documented";
    case errc::heads_not_divisible:
      return "q_heads is not a multiple of kv_heads";
    case errc::bad_group_width:
      return "d_v is not at most 16 groups of a multiple of 16 bytes";
    case errc::bad_ratio:
      return "a ratio lies outside [0, 1]";
    case errc::bad_count:
      return "a count is out of range";
    case errc::bad_parameter:
      return "a policy parameter is out of range";
    case errc::budget_too_small:
      return "the budget cannot hold the protected tokens";
    case errc::overlapping_memory:
      return "an output overlaps other memory of the call";
    case errc::workspace_too_small:
      return "the workspace is too small or misaligned";
    case errc::store_too_small:
      return "the memory for the store is too small";
    case errc::tail_full:
      return "the tail of the store is full";
    case errc::bad_store:
      return "the memory does not hold a store of this type";
    case errc::bad_selection:
      return "the selection is not ascending or out of range";
    case errc::bad_position:
      return "positions do not ascend";
    case errc::tail_too_short:
      return "only tokens of the unsealed tail can be taken back";
    case errc::damaged:
      return "the saved bytes are incomplete or altered";
    case errc::other_version:
      return "the saved bytes are of another version or byte order";
    case errc::other_policies:
      return "the saved bytes were made by other policies";
    case errc::other_model:
      return "the saved bytes were made for another model";
    case errc::unsupported:
      return "no kernel for this device, element or head size";
    case errc::wrong_memory:
      return "memory that the device cannot use";
    case errc::device_failure:
      return "the device's runtime refused a call";
  }
  return "unknown";
}

/// Result of every operator: a code and the name of the argument that it is about.
/// `argument` is a string literal, never null; empty when all is well.
struct [[nodiscard]] status {
  errc code = errc::ok;
  const char* argument = "";

  constexpr status() = default;
  ROTA_HD constexpr status(errc c, const char* arg) : code(c), argument(arg) {}

  ROTA_HD constexpr bool ok() const { return code == errc::ok; }
  constexpr explicit operator bool() const { return ok(); }
  constexpr const char* what() const { return describe(code); }
  friend constexpr bool operator==(const status& s, errc c) { return s.code == c; }
};

}  // namespace rota
