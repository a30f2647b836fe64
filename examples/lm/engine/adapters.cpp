#include "engine/adapters.hpp"

#include <span>
#include <string>

#include <rota/cpu/lora.hpp>

#include "engine/rota_call.hpp"
#include "engine/scratch_memory.hpp"

namespace rota_lm {

namespace {

template <int Subspaces, int Active, class F>
bool call_form(const lora_shape& s, F& f) {
  if (s.subspaces != Subspaces || s.active != Active) return false;
  if (s.gate == gate_kind::softmax)
    f.template operator()<rota::routed_lora<Subspaces, Active, rota::softmax_gate>>();
  else
    f.template operator()<rota::routed_lora<Subspaces, Active, rota::sigmoid_gate>>();
  return true;
}

/// Calls f.operator()<Form>() with the form that a shape says. Forms are compiled in, and so
/// listed; an engine lists those that its adapters have. False when it is none of them.
template <class F>
bool with_lora_form(const lora_shape& s, F&& f) {
  if (!s.routed()) {
    f.template operator()<rota::plain_lora>();
    return true;
  }
  return call_form<4, 1>(s, f) || call_form<4, 2>(s, f) || call_form<8, 1>(s, f) ||
         call_form<8, 2>(s, f) || call_form<8, 4>(s, f);
}

rota::lora_weights<float> weights_of(const adapter_weights& a) {
  const rota::train::lora_views<const float> v(a.shape, a.numbers.data());
  rota::lora_weights<float> w;
  w.down = v.down;
  w.up = v.up;
  w.router = v.router;
  w.router_bias = v.router_bias;
  w.alpha = static_cast<float>(a.shape.alpha);
  return w;
}

std::string name_of(const std::pair<std::size_t, target>& place) {
  return "layer " + std::to_string(place.first) + " " +
         std::string(target_names[static_cast<std::size_t>(place.second)].second);
}

}  // namespace

bool knows_lora_form(const lora_shape& s) {
  return with_lora_form(s, []<class>() {});
}

lora_adapters::lora_adapters(map_type adapters) : adapters_(std::move(adapters)) {
  for (const auto& entry : adapters_) {
    const auto& place = entry.first;
    const adapter_weights& a = entry.second;  // clang 14 lets no lambda capture a binding
    if (a.numbers.size() != static_cast<std::size_t>(a.shape.parameters()))
      fail(name_of(place), "has " + std::to_string(a.numbers.size()) +
                               " weights, its shape needs " + std::to_string(a.shape.parameters()));
    rota::status s;
    if (!with_lora_form(a.shape, [&]<class Form>() { s = rota::check_lora<Form>(weights_of(a)); }))
      fail(name_of(place), "routes " + std::to_string(a.shape.active) + " of " +
                               std::to_string(a.shape.subspaces) +
                               " subspaces: this program knows 1 or 2 of 4 and 1, 2 or 4 of 8");
    require(s, name_of(place));
  }
}

void lora_adapters::add(std::size_t layer, target t, const matrix& x, matrix& y) const {
  const auto found = adapters_.find({layer, t});
  if (found == adapters_.end()) return;
  const adapter_weights& a = found->second;
  with_lora_form(a.shape, [&]<class Form>() {
    rota::lora_item<float> item;
    item.weights = weights_of(a);
    item.x = rota::view<const float, 2>(x.data(), x.rows(), x.cols());
    item.y = rota::view<float, 2>(y.data(), y.rows(), y.cols());
    const std::span<const rota::lora_item<float>> batch(&item, 1);
    scratch_memory scratch;
    const rota::workspace ws =
        scratch.at_least(rota::cpu::add_lora_workspace_bytes<Form, float>({}, batch));
    require(rota::cpu::add_lora<Form, float>({}, batch, ws), name_of(found->first));
  });
}

void lora_adapters::describe(rota::fingerprint& f) const {
  f.add("lora");
  for (const auto& [place, a] : adapters_) {
    f.add(place.first).add(static_cast<int>(place.second)).add(a.shape.rank);
    f.add(a.shape.subspaces).add(a.shape.active).add(static_cast<int>(a.shape.gate));
    f.add(a.shape.alpha);
    for (const float x : a.numbers) f.add(x);
  }
}

}  // namespace rota_lm
