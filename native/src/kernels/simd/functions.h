// exp and log in registers, polynomials of the Cephes library (expf, logf): within 2 units of the last place.
#pragma once

namespace ctflow {
namespace {

// NaN stays NaN; below -87.3 the result is the smallest normal number rather than a subnormal one.
template <class A>
static inline typename A::F exponential(typename A::F x) {
  using F = typename A::F;
  const F clamped = A::max(A::set(-87.3365447f), A::min(A::set(88.3762626f), x));
  const F n = A::round(A::mul(clamped, A::set(1.44269504088896341f)));
  F r = A::fma(n, A::set(-0.693359375f), clamped);
  r = A::fma(n, A::set(2.12194440e-4f), r);
  F y = A::set(1.9875691500e-4f);
  y = A::fma(y, r, A::set(1.3981999507e-3f));
  y = A::fma(y, r, A::set(8.3334519073e-3f));
  y = A::fma(y, r, A::set(4.1665795894e-2f));
  y = A::fma(y, r, A::set(1.6666665459e-1f));
  y = A::fma(y, r, A::set(5.0000001201e-1f));
  y = A::add(A::fma(y, A::mul(r, r), r), A::set(1.0f));
  return A::mul(y, A::exp2i(n));
}

// For positive normal numbers.
template <class A>
static inline typename A::F logarithm(typename A::F v) {
  using F = typename A::F;
  F e;
  F m = A::split(v, e);
  // m in [sqrt(1/2), sqrt(2)) around 1
  const F limit = A::set(0.707106781186547524f);
  e = A::where_less(m, limit, A::sub(e, A::set(1.0f)), e);
  m = A::sub(A::where_less(m, limit, A::add(m, m), m), A::set(1.0f));
  const F z = A::mul(m, m);
  F y = A::set(7.0376836292e-2f);
  y = A::fma(y, m, A::set(-1.1514610310e-1f));
  y = A::fma(y, m, A::set(1.1676998740e-1f));
  y = A::fma(y, m, A::set(-1.2420140846e-1f));
  y = A::fma(y, m, A::set(1.4249322787e-1f));
  y = A::fma(y, m, A::set(-1.6668057665e-1f));
  y = A::fma(y, m, A::set(2.0000714765e-1f));
  y = A::fma(y, m, A::set(-2.4999993993e-1f));
  y = A::fma(y, m, A::set(3.3333331174e-1f));
  y = A::mul(A::mul(y, m), z);
  y = A::fma(e, A::set(-2.12194440e-4f), y);
  y = A::fma(z, A::set(-0.5f), y);
  return A::fma(e, A::set(0.693359375f), A::add(m, y));
}

}  // namespace
}  // namespace ctflow
