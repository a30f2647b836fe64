#pragma once

#include <rota/cpu/eigen.hpp>

namespace rota::cpu {

/// Least squares with a penalty on the weights but not on the intercept, for many outputs at once,
/// from sums that are fed piece by piece:
///   minimise sum over rows |y - W x - b|^2 + penalty * rows * |W|^2.
/// In double; allocates.
class ridge_regression {
 public:
  ridge_regression(Eigen::Index inputs, Eigen::Index outputs)
      : gram_(Eigen::MatrixXd::Zero(inputs + 1, inputs + 1)),
        moments_(Eigen::MatrixXd::Zero(inputs + 1, outputs)) {}

  /// x [rows, inputs], y [rows, outputs].
  template <class X, class Y>
  void add(const Eigen::MatrixBase<X>& x, const Eigen::MatrixBase<Y>& y) {
    Eigen::MatrixXd with_one(x.rows(), x.cols() + 1);
    with_one << x.template cast<double>(), Eigen::VectorXd::Ones(x.rows());
    gram_.selfadjointView<Eigen::Lower>().rankUpdate(with_one.transpose());
    moments_.noalias() += with_one.transpose() * y.template cast<double>();
    rows_ += static_cast<double>(x.rows());
  }

  /// [outputs, inputs + 1], the intercept last. `penalty` above 0 keeps it well defined.
  Eigen::MatrixXd solve(double penalty) const {
    Eigen::MatrixXd g = gram_;
    g.diagonal().head(g.rows() - 1).array() += penalty * rows_;
    return g.selfadjointView<Eigen::Lower>().ldlt().solve(moments_).transpose();
  }

 private:
  Eigen::MatrixXd gram_, moments_;
  double rows_ = 0;
};

}  // namespace rota::cpu
