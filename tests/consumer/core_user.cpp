// A program that needs rota::rota alone: the words and the sizes, no backend.
#include <cstdio>

#include <rota/core/version.hpp>
#include <rota/rota.hpp>

int main() {
  using op = rota::attention<rota::packed<rota::bf16, 16>>;
  const rota::index_t bytes = rota::packed_bytes_bound(op::shape_of(2, 64, 64, {}), 100);
  std::printf("rota %d.%d.%d, %lld bytes\n", ROTA_VERSION_MAJOR, ROTA_VERSION_MINOR,
              ROTA_VERSION_PATCH, static_cast<long long>(bytes));
  return bytes > 0 ? 0 : 1;
}
