// Reader of the safetensors format: u64 header length, a JSON header, then the tensors' bytes.
// Nothing in the file is trusted until the whole header has been checked against the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mapped_file.hpp"

namespace rota_lm {

class json_field;

/// One tensor of a file. `begin` and `end` count from the start of the data section.
struct tensor_info {
  std::string dtype;
  std::size_t element_bytes = 0;  ///< 0: of a dtype that this reader does not know
  std::vector<std::uint64_t> shape;
  std::uint64_t elements = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// "[2, 3]", for messages.
std::string shape_text(std::span<const std::uint64_t> shape);

/// A memory-mapped safetensors file whose header has been checked: sizes that equal shape times
/// element, in order, no overlap, no hole, nothing beyond the file. The format aligns nothing.
/// Tensors of unknown dtypes may stand beside those that are read.
class safetensors_file {
 public:
  /// Throws one-line errors "file: tensor "x": what".
  explicit safetensors_file(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const std::map<std::string, tensor_info>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  /// The file's own words about itself; empty when there are none.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  const tensor_info& info(const std::string& name) const;
  /// The tensor's bytes inside the mapping, at any address: to be copied, not cast.
  std::span<const std::byte> bytes(const std::string& name) const;

  /// Throws unless the tensor can be read by read_f32 and has exactly this shape: the check to
  /// make before memory is taken for it.
  void check_weight(const std::string& name, std::span<const std::uint64_t> shape) const;

  /// Widens an F32, BF16 or F16 tensor of any shape into `out`, which holds its elements exactly.
  void read_f32(const std::string& name, std::span<float> out) const;

  /// read_f32() for what is computed with: throws where a number is infinite or NaN.
  void read_weight(const std::string& name, std::span<float> out) const;

  /// The values of an I64 tensor of any shape.
  std::vector<std::int64_t> read_i64(const std::string& name) const;

 private:
  std::string tensor_label(const std::string& name) const;
  std::string_view header_text();
  void read_metadata(const json_field& entry);
  tensor_info parse_entry(const json_field& entry) const;
  void check_extent(tensor_info& t, const std::string& where) const;
  void check_layout() const;

  mapped_file file_;
  std::size_t data_start_ = 0;
  std::map<std::string, tensor_info> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace rota_lm
