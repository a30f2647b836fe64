#include "generator/prng.hpp"

namespace rota_lm::synth {

bool held_out(std::initializer_list<std::string_view> parts) {
  std::uint64_t h = 0xcbf29ce484222325ULL;  // FNV-1a, with a separator after each part
  for (std::string_view part : parts) {
    for (char c : part) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    h = (h ^ 0xffU) * 0x100000001b3ULL;
  }
  return prng::mix(h) % 4 == 0;
}

bool belongs(split s, std::initializer_list<std::string_view> parts) {
  return held_out(parts) == (s == split::eval);
}

}  // namespace rota_lm::synth
