#include "results/finished_file.hpp"

#include <cstdint>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/text_file.hpp"

namespace rota_lm::results {

void save_finished(const finished_adaptation& f, const std::string& run, const std::string& path) {
  nlohmann::ordered_json out = {{"run", run}, {"parameters", f.parameters}, {"seconds", f.seconds}};
  for (const adapted_point& p : f.points)
    out["points"].push_back({{"rho", p.rho},
                             {"kv_bytes_ratio", p.kv_bytes_ratio},
                             {"rho_kept", p.rho_kept},
                             {"perplexity", p.perplexity},
                             {"packed_less_masked", p.packed_less_masked}});
  write_file(path, out.dump(1) + "\n");
}

finished_adaptation read_finished(const adaptation_spec& spec, const std::string& path,
                                  const std::string& run) {
  const json document = read_json(path);
  const json_field field(document, path);
  if (field.at("run").string() != run)
    fail(path, "is of another run: take another --journal, or delete it");
  finished_adaptation out{
      spec, field.at("parameters").count(0, SIZE_MAX / 2), field.at("seconds").number(0, 1e9), {}};
  const json_field points = field.at("points");
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto number = [&](const char* key) { return points.at(i).at(key).number(-1e9, 1e9); };
    out.points.push_back({number("rho"), number("kv_bytes_ratio"), number("rho_kept"),
                          number("perplexity"), number("packed_less_masked")});
  }
  return out;
}

}  // namespace rota_lm::results
