// A page of vector graphics, and linear axes on it. Nothing but text is written.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rota_lm::eval {

/// Colours that colour-blind readers tell apart (Okabe and Ito).
namespace colour {

inline constexpr const char* ink = "#222222";
inline constexpr const char* faint = "#8a8a8a";
inline constexpr const char* grid = "#e4e4e4";
inline constexpr std::array<const char*, 6> lines = {"#0072b2", "#d55e00", "#009e73",
                                                     "#cc79a7", "#e69f00", "#56b4e9"};
/// Little to much (viridis, light end first): lightness alone tells them apart too.
inline constexpr std::array<const char*, 9> scale = {"#fde725", "#addc30", "#5ec962",
                                                     "#28ae80", "#21918c", "#2c728e",
                                                     "#3b528b", "#472d7b", "#440154"};
/// A shade for a part in [0, 1] of the scale.
inline const char* shade(double part) {
  const double top = static_cast<double>(scale.size() - 1);
  return scale[static_cast<std::size_t>(std::lround(std::clamp(part, 0.0, 1.0) * top))];
}

}  // namespace colour

enum class anchor { start, middle, end };

class svg {
 public:
  svg(double width, double height) : width_(width), height_(height) {}

  void line(double x1, double y1, double x2, double y2, const char* stroke, double width = 1,
            const char* dashes = "");
  void rect(double x, double y, double w, double h, const char* fill, double opacity = 1);
  void frame(double x, double y, double w, double h, const char* stroke);

  /// A point's mark: 0 circle, 1 square, 2 triangle, 3 diamond. Shapes help where colours do not.
  void mark(double x, double y, std::size_t shape, const char* fill);
  void polyline(const std::vector<std::pair<double, double>>& points, const char* stroke,
                double width = 2);
  void text(double x, double y, std::string_view words, anchor at = anchor::start, double size = 12,
            const char* fill = colour::ink, bool bold = false);

  /// Text that reads upwards.
  void text_upwards(double x, double y, std::string_view words, double size = 12);
  std::string document() const;

  /// At most two places, no trailing zeros.
  static std::string num(double x);

 private:
  static std::string escaped(std::string_view words);

  double width_, height_;
  std::string body_;
};

/// From values to places on the page.
struct axis {
  double low = 0, high = 1;     ///< values
  double begin = 0, end = 100;  ///< places of low and high

  double operator()(double value) const;
};

/// Round values between low and high, about `wanted` of them.
std::vector<double> ticks(double low, double high, int wanted);

}  // namespace rota_lm::eval
