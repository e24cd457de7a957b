/**
 * exp and log for WGSL, correct to about two units in the last place on every device: the language's own may be off by
 * 3 + 2 |x| units, and the log of what is nearly 1 by 2^-21. Polynomial of exp as in Cephes' expf (S. Moshier).
 */

export const functions = `
// Of x <= 0; 0 below -87.
fn exponential(x: f32) -> f32 {
  let y = max(x, -87.0);
  let k = round(y * 1.44269504);
  let r = (y - k * 0.693359375) + k * 2.12194440e-4;
  var p = 1.9875691500e-4 * r + 1.3981999507e-3;
  p = p * r + 8.3334519073e-3;
  p = p * r + 4.1665795894e-2;
  p = p * r + 1.6666665459e-1;
  p = p * r + 5.0000001201e-1;
  let whole = bitcast<f32>(u32(i32(k) + 127) << 23u);
  return select((p * (r * r) + r + 1.0) * whole, 0.0, x < -87.0);
}
// Of normal x >= 1: log(2^k (1 + f)) = k log(2) + 2 atanh(f / (2 + f)).
fn logarithm(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  var k = f32(i32(bits >> 23u) - 127);
  var m = bitcast<f32>((bits & 0x7fffffu) | 0x3f800000u);
  if (m > 1.41421356) {
    m *= 0.5;
    k += 1.0;
  }
  let f = m - 1.0;
  let t = f / (2.0 + f);
  let z = t * t;
  let tail = z * (0.66666667 + z * (0.4 + z * (0.28571429 + z * 0.22222222)));
  return k * 0.69314718 + (2.0 * t + t * tail);
}
// Compilers may take it for granted that no number is NaN or infinite: the bits tell.
fn isFinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }
fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }`

/** A uniform, since WGSL has no word for NaN. */
export const nanBits = 0x7fc00000
