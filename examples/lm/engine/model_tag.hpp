// A number for a model, by which files know what they were made for.
#pragma once

#include <cstdint>
#include <string>

namespace rota_lm {

class model;

/// What keys and values depend on: the numbers of the configuration, a sample of every weight, and
/// adapters.
/// The same in every process; tells checkpoints apart, also fine-tuned ones of one base.
std::uint64_t model_tag(const model& lm);

/// 16 hexadecimal digits: how files say a tag or a fingerprint.
std::string hexadecimal(std::uint64_t x);

/// The tag as files say it.
std::string model_identity(const model& lm);

}  // namespace rota_lm
