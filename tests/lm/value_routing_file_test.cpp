// Value routings beside adapters: of one run or refused; bases that are none.
#include "engine/value_routing_file.hpp"

#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <source_dir.hpp>

#include "engine/adapted_model.hpp"
#include "engine/adapter_file.hpp"
#include "temp_folder.hpp"

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::temp_folder;

namespace {

const std::string micro = std::string(rota_own::source_dir()) + "/tests/goldens/micro/qwen2";

/// What a run of adapt leaves that drops no values.
routed_values plain_values(const model_config& c, const std::string& run) {
  routed_values out;
  out.routing.layers.resize(c.layers);
  out.run = run;
  out.adapted = true;
  return out;
}

lora_adapters one_adapter(const model_config& c) {
  lora_shape shape{0, 0, 2, 1, 1, gate_kind::softmax, 4.0};
  shape.in = shape.out = static_cast<rota::index_t>(c.hidden_size);
  lora_adapters::map_type out;
  for (std::size_t l = 0; l < c.layers; ++l)
    out.emplace(std::pair(l, target::q),
                adapter_weights{
                    shape, std::vector<float>(static_cast<std::size_t>(shape.parameters()), 0.5f)});
  return lora_adapters(std::move(out));
}

struct run_files {
  temp_folder folder;
  model_config config = load_config(micro);
  std::string routing = folder.path() + "/value_routing.safetensors";

  void write(const std::string& run) const {
    save_value_routing(plain_values(config, run), config, routing);
    save_adapters(one_adapter(config), "base", folder.path(), run);
  }
  std::string said() const {
    return error_of([&] { load_adapted(micro, folder.path()); });
  }
};

}  // namespace

TEST_CASE("an adaptation killed between its files is refused, whichever file is of another run") {
  run_files f, other;
  f.write("1");
  other.write("2");
  CHECK(f.said() == "");
  const temp_folder kept;
  std::filesystem::copy(f.folder.path(), kept.path());
  const auto restore = [&](const std::filesystem::path& from) {
    for (const auto& entry : std::filesystem::directory_iterator(from))
      std::filesystem::copy_file(entry.path(), f.folder.path() / entry.path().filename(),
                                 std::filesystem::copy_options::overwrite_existing);
  };
  save_value_routing(plain_values(f.config, "2"), f.config, f.routing);
  CHECK(one_line_with(f.said(), "value_routing.safetensors: is of another run"));
  restore(kept.path());
  CHECK(f.said() == "");
  std::filesystem::copy_file(other.folder.path() + "/adapter_model.safetensors",
                             f.folder.path() + "/adapter_model.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(one_line_with(f.said(), "is of another run"));
  restore(other.folder.path());
  CHECK(f.said() == "");
  std::filesystem::remove(f.folder.path() + "/adapter_config.json");  // killed in a fresh folder
  CHECK(one_line_with(f.said(), "belongs to an adapter that is not in its folder"));
  remove_adapters(f.folder.path());
  CHECK(one_line_with(f.said(), "belongs to an adapter"));
  routed_values without = plain_values(f.config, "3");
  without.adapted = false;
  save_value_routing(without, f.config, f.routing);
  CHECK(f.said() == "");
}

TEST_CASE("a basis that is no rotation, and shares that are none, are refused") {
  const run_files f;
  const model_config& c = f.config;
  const std::size_t d = c.head_dim;
  const auto refused = [&](const routed_values& v) {
    save_value_routing(v, c, f.routing);
    return error_of([&] { load_value_routing(f.routing, c); });
  };
  routed_values v = plain_values(c, "");
  v.basis.numbers.assign(c.layers * c.kv_heads * d * d, 0);
  const std::vector<float> zeros = v.basis.numbers;
  for (std::size_t i = 0; i < zeros.size(); i += d * d)
    for (std::size_t j = 0; j < d; ++j) v.basis.numbers[i + j * d + j] = j % 2 == 0 ? 1 : -1;
  CHECK(refused(v) == "");
  const std::vector<float> rotation = v.basis.numbers;
  v.basis.numbers = zeros;
  CHECK(one_line_with(refused(v), "\"basis\" of layer 0, kv head 0 is not orthogonal"));
  v.basis.numbers.assign(zeros.size(), 3e38f);
  CHECK(one_line_with(refused(v), "is not orthogonal"));
  v.basis.numbers = rotation;
  v.basis.numbers.back() = 1.01f;
  CHECK(one_line_with(refused(v), "layer " + std::to_string(c.layers - 1)));
  v.basis.numbers.back() = std::numeric_limits<float>::quiet_NaN();
  CHECK(one_line_with(refused(v), "tensor \"basis\": number"));
  v.basis.numbers.clear();
  for (const double rho : {0.0, -1.0, 1.5}) {
    v.routing.thresholds = {{rho, 0.5f}};
    CHECK(one_line_with(refused(v), "rho outside (0, 1]"));
  }
  v.routing.thresholds = {{0.5, std::numeric_limits<float>::infinity()}};
  CHECK(one_line_with(refused(v), "tensor \"thresholds\": number 1"));
}
