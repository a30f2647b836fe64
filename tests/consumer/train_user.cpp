// A program that needs rota::train: a basis, computed by Eigen.
#include <cmath>
#include <vector>

#include <rota/cpu/basis.hpp>

int main() {
  std::vector<float> numbers(8 * 8);
  const rota::view<float, 3> basis(numbers.data(), 1, 8, 8);
  if (!rota::cpu::random_basis(3, basis).ok()) return 1;
  float length = 0;
  for (int i = 0; i < 8; ++i) length += basis(0, 0, i) * basis(0, 0, i);
  return std::fabs(length - 1) < 1e-5f ? 0 : 1;
}
