#include "cases.h"

#include <algorithm>

namespace ctflow_test {
namespace {

using namespace ctflow;

std::string list(std::initializer_list<int64_t> numbers) {
  std::string text;
  for (const int64_t n : numbers) text += (text.empty() ? "" : " x ") + std::to_string(n);
  return text;
}

// 1 to 70, mostly those of networks and their neighbours.
int channels(Random& random) {
  static constexpr int kUsual[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65};
  return random.chance(3) ? random.between(1, 70) : kUsual[random.between(0, 16)];
}

int length(Random& random, int most) {
  return random.chance(4) ? random.between(1, 3) : random.between(1, most);
}

Conv3dShape conv3d_shape(Random& random) {
  for (;;) {
    Conv3dShape s;
    s.batch = random.chance(3) ? random.between(2, 3) : 1;
    s.ci = channels(random);
    s.co = channels(random);
    const bool usual = random.chance(2);
    const bool pointwise = random.chance(5);
    if (usual && !pointwise && random.chance(4)) {
      // Layers that kernels are made for.
      static constexpr int kLayers[][2] = {{1, 8}, {8, 8}, {8, 16}, {16, 32}};
      const int layer = random.between(0, 3);
      s.ci = kLayers[layer][0];
      s.co = kLayers[layer][1];
    }
    const int stride = random.between(1, 2);
    int64_t work = static_cast<int64_t>(s.batch) * s.ci * s.co;
    bool fits = true;
    for (int k = 0; k < 3; k++) {
      s.in[k] = length(random, k == 2 ? 61 : (s.ci == 1 ? 20 : 7));
      s.kernel[k] = pointwise ? 1 : usual ? 3 : random.between(1, 5);
      s.stride[k] = pointwise ? 1 : usual ? stride : random.between(1, 3);
      s.pad[k] = pointwise ? 0 : usual ? 1 : random.between(0, s.kernel[k] + 1);
      const int room = s.in[k] + 2 * s.pad[k] - s.kernel[k];
      // Padding behind follows from the output: now and then it is not that in front.
      s.out[k] = room < 0 ? 0 : room / s.stride[k] + 1 + (random.chance(6) ? random.between(-1, 1) : 0);
      fits = fits && s.out[k] >= 1;
      work *= static_cast<int64_t>(s.kernel[k]) * std::max(s.out[k], 1);
    }
    if (fits && work <= 4000000) return s;
  }
}

std::string text(const Conv3dShape& s) {
  return list({s.batch, s.in[0], s.in[1], s.in[2], s.ci}) + ", kernel " + list({s.kernel[0], s.kernel[1], s.kernel[2]}) +
         ", stride " + list({s.stride[0], s.stride[1], s.stride[2]}) + ", padding " + list({s.pad[0], s.pad[1], s.pad[2]}) +
         ", to " + list({s.out[0], s.out[1], s.out[2], s.co});
}

Case conv3d(Random& random) {
  const Conv3dShape s = conv3d_shape(random);
  const int64_t inputs = static_cast<int64_t>(s.batch) * s.in[0] * s.in[1] * s.in[2] * s.ci;
  const int64_t outputs = static_cast<int64_t>(s.batch) * s.out[0] * s.out[1] * s.out[2] * s.co;
  const int64_t taps = static_cast<int64_t>(s.kernel[0]) * s.kernel[1] * s.kernel[2];
  std::shared_ptr<Floats> x = floats(random, inputs), filter = floats(random, taps * s.ci * s.co), dy = floats(random, outputs);
  const bool normed = random.chance(2), added = random.chance(2);
  std::shared_ptr<Floats> norm = floats(random, static_cast<int64_t>(s.batch) * 3 * s.ci), residual = floats(random, outputs);
  return {text(s) + (normed ? ", norm" : "") + (added ? ", residual" : ""), [=](const Kernels& kernels) {
            const auto y = unwritten(outputs), dx = unwritten(inputs), dfilter = unwritten(taps * s.ci * s.co);
            const float* table = normed ? norm->get() : nullptr;
            kernels.conv3d_forward({s, x->get(), filter->get(), y->get(), table, added ? residual->get() : nullptr});
            kernels.conv3d_input_gradient({s, dy->get(), filter->get(), dx->get()});
            kernels.conv3d_filter_gradient({s, x->get(), dy->get(), dfilter->get(), table});
            // A sum of n products at random is about sqrt(n) / 3; what rounding leaves is relative to that.
            const auto size = [](int64_t n) { return std::sqrt(static_cast<double>(n)) / 3; };
            return Outputs{output("y", *y, 2e-6, size(taps * s.ci)), output("dx", *dx, 2e-6, size(taps * s.co)),
                           output("dfilter", *dfilter, 2e-6, size(outputs / s.co))};
          }};
}

Case group_norm(Random& random) {
  GroupNormShape s;
  s.batch = random.between(1, 3);
  s.channels = channels(random);
  s.voxels = random.chance(8) ? 70000 / s.channels + random.between(0, 40) : length(random, 300);
  do {
    s.groups = random.between(1, static_cast<int>(s.channels));
  } while (s.channels % s.groups != 0);
  s.epsilon = 1e-5f;
  s.relu = random.chance(2);
  const int64_t size = s.batch * s.voxels * s.channels;
  std::shared_ptr<Floats> x = floats(random, size), dy = floats(random, size), gamma = floats(random, s.channels),
                          beta = floats(random, s.channels);
  // The gradient's inputs, from scalar: rounding must not decide which values the ReLU lets through.
  std::shared_ptr<Floats> mean = unwritten(s.batch * s.groups), rstd = unwritten(s.batch * s.groups);
  GroupNormShape open = s;
  open.relu = false;
  const auto before = unwritten(size);
  variant(0).group_norm_forward({open, x->get(), gamma->get(), beta->get(), before->get(), mean->get(), rstd->get()});
  const bool close = std::any_of(before->get(), before->get() + size, [](float v) { return std::fabs(v) < 1e-5f; });
  if (close) s.relu = false;
  const double steepest = *std::max_element(rstd->get(), rstd->get() + rstd->size());
  const bool alone = random.chance(2), in_place = random.chance(2), added = random.chance(2);
  std::shared_ptr<Floats> residual = floats(random, size);
  return {list({s.batch, s.voxels, s.channels}) + ", groups " + std::to_string(s.groups) + (s.relu ? ", ReLU" : ""),
          [=](const Kernels& kernels) {
            const auto y = unwritten(size), dx = unwritten(size), dgamma = unwritten(s.channels), dbeta = unwritten(s.channels),
                       own_mean = unwritten(s.batch * s.groups), own_rstd = unwritten(s.batch * s.groups);
            kernels.group_norm_forward({s, x->get(), gamma->get(), beta->get(), y->get(), own_mean->get(), own_rstd->get()});
            if (alone) kernels.group_norm_forward({s, x->get(), gamma->get(), beta->get(), nullptr, own_mean->get(), own_rstd->get()});
            const float* gradient = in_place ? dx->get() : dy->get();
            if (in_place) std::copy(dy->get(), dy->get() + size, dx->get());
            kernels.group_norm_gradient({s, gradient, x->get(), gamma->get(), beta->get(), mean->get(), rstd->get(), dx->get(),
                                         dgamma->get(), dbeta->get(), added ? residual->get() : nullptr});
            const double sum = std::sqrt(static_cast<double>(s.batch * s.voxels));
            return Outputs{output("y", *y, 3e-6, 1), output("mean", *own_mean, 1e-6, 1), output("rstd", *own_rstd, 2e-5),
                           output("dx", *dx, 3e-6, steepest), output("dgamma", *dgamma, 3e-6, sum),
                           output("dbeta", *dbeta, 3e-6, sum)};
          }};
}

Case upsample(Random& random) {
  UpsampleShape s{random.between(1, 2), {length(random, 5), length(random, 5), length(random, 23)}, channels(random)};
  const int64_t size = static_cast<int64_t>(s.batch) * s.size[0] * s.size[1] * s.size[2] * s.channels;
  std::shared_ptr<Floats> x = floats(random, size), dy = floats(random, 8 * size), skip;
  if (random.chance(2)) skip = floats(random, 8 * size);
  return {list({s.batch, s.size[0], s.size[1], s.size[2], s.channels}) + (skip ? ", skip" : ""), [=](const Kernels& kernels) {
            const auto y = unwritten(8 * size), dx = unwritten(size);
            kernels.upsample_forward({s, x->get(), skip ? skip->get() : nullptr, y->get()});
            kernels.upsample_gradient({s, dy->get(), dx->get()});
            return Outputs{output("y", *y, 1e-6, 1), output("dx", *dx, 1e-6, 1)};
          }};
}

Case dice_cross_entropy(Random& random) {
  const int64_t batch = random.between(1, 3);
  const int64_t voxels = random.chance(8) ? random.between(16000, 17000) : random.between(1, 400);
  const int classes = random.chance(2) ? 2 : random.between(2, voxels > 1000 ? 5 : kMostClasses);
  const bool squared = random.chance(2), background = random.chance(2), jaccard = random.chance(2), all = random.chance(2);
  std::shared_ptr<Floats> logits = floats(random, batch * voxels * classes, 8);
  auto labels = std::make_shared<Guarded<int32_t>>(batch * voxels);
  for (int64_t i = 0; i < labels->size(); i++) (*labels)[i] = random.between(0, classes - 1);
  const bool wrong = random.chance(8);
  if (wrong) (*labels)[random.between(0, static_cast<int>(labels->size()) - 1)] = random.chance(2) ? classes : -7;
  return {list({batch, voxels, classes}) + (squared ? ", squared" : "") + (background ? ", background" : "") +
              (jaccard ? ", jaccard" : "") + (all ? ", batch" : "") + (wrong ? ", a wrong label" : ""),
          [=](const Kernels& kernels) {
            const auto dlogits = unwritten(batch * voxels * classes), results = unwritten(4);
            double loss = 0, dice = 0, cross_entropy = 0;
            int64_t bad = 0;
            kernels.dice_cross_entropy({batch, voxels, classes, squared, background, jaccard, all, 1e-5, 1e-5, 0.7, 1.3,
                                        nullptr, 0, logits->get(), labels->get(), dlogits->get(), nullptr, &loss, &dice,
                                        &cross_entropy, &bad});
            (*results)[0] = static_cast<float>(wrong ? 0 : loss);
            (*results)[1] = static_cast<float>(wrong ? 0 : dice);
            (*results)[2] = static_cast<float>(wrong ? 0 : cross_entropy);
            (*results)[3] = static_cast<float>(bad);
            Outputs outputs{output("loss, Dice, cross-entropy, wrong labels", *results, 3e-6)};
            // With a wrong label nobody looks at the gradient.
            if (!wrong) outputs.push_back(output("dlogits", *dlogits, 1e-5));
            return outputs;
          }};
}

Case adam(Random& random) {
  const int64_t size = random.chance(6) ? random.between(30000, 70000) : random.between(0, 100);
  std::shared_ptr<Floats> param = floats(random, size), m = floats(random, size, 0.1f), v = floats(random, size, 0.01f),
                          gradient = floats(random, size);
  for (int64_t i = 0; i < size; i++) (*v)[i] = std::fabs((*v)[i]);
  return {list({size}), [=](const Kernels& kernels) {
            const Floats own_param(size), own_m(size), own_v(size);
            std::copy_n(param->get(), size, own_param.get());
            std::copy_n(m->get(), size, own_m.get());
            std::copy_n(v->get(), size, own_v.get());
            kernels.adam_update({size, 0.9, 0.999, 1e-8, 1e-5, 1e-3, 0.03, gradient->get(), own_param.get(), own_m.get(), own_v.get()});
            return Outputs{output("param", own_param, 1e-6, 1), output("m", own_m, 1e-6, 0.1), output("v", own_v, 1e-6, 0.01)};
          }};
}

Case elementwise(Random& random) {
  const auto op = static_cast<ElementwiseOp>(random.between(0, 6));
  // Beyond the chunks, and beyond what becomes a table.
  const int64_t size = random.chance(6) ? random.between(60000, 280000) : random.between(0, 300);
  const int64_t period = random.chance(3) ? std::max<int64_t>(size, 1)
                         : size > 1000 && random.chance(3) ? random.between(65000, 140000)
                                                           : random.between(1, 70);
  const bool in_place = random.chance(3) && op != ElementwiseOp::kFill;
  std::shared_ptr<Floats> a = floats(random, size), b = floats(random, period);
  return {std::to_string(static_cast<int>(op)) + ": " + list({size}) + " by " + std::to_string(period) + (in_place ? ", in place" : ""),
          [=](const Kernels& kernels) {
            const auto to = unwritten(size);
            if (in_place) std::copy_n(a->get(), size, to->get());
            const float* from = op == ElementwiseOp::kFill ? nullptr : in_place ? to->get() : a->get();
            kernels.elementwise({op, size, period, from, op == ElementwiseOp::kRelu ? nullptr : b->get(), to->get()});
            return Outputs{output("result", *to, 1e-7)};
          }};
}

Case channel_sum(Random& random) {
  const int64_t count = random.chance(12) ? random.between(65000, 66000) : channels(random);
  const int64_t rows = count > 1000 ? random.between(0, 3) : random.chance(6) ? random.between(1000, 3000) : random.between(0, 60);
  std::shared_ptr<Floats> a = floats(random, rows * count);
  return {list({rows, count}), [=](const Kernels& kernels) {
            const auto to = unwritten(count);
            kernels.channel_sum({rows, count, a->get(), to->get()});
            return Outputs{output("sum", *to, 1e-6, std::sqrt(static_cast<double>(rows)))};
          }};
}

Case softmax(Random& random) {
  const int64_t classes = random.chance(4) ? random.between(1, 70) : random.between(1, 5);
  const int64_t rows = random.chance(6) ? random.between(4000, 9000) : random.between(0, 60);
  std::shared_ptr<Floats> a = floats(random, rows * classes, 20);
  return {list({rows, classes}), [=](const Kernels& kernels) {
            const auto to = unwritten(rows * classes);
            kernels.softmax({rows, classes, a->get(), to->get()});
            return Outputs{output("softmax", *to, 2e-6)};
          }};
}

}  // namespace

Case long_case() {
  Random random(1);
  const GroupNormShape s{1, 1 << 17, 8, 8, 1e-5f, false};
  const int64_t size = s.voxels * s.channels;
  std::shared_ptr<Floats> x = floats(random, size), gamma = floats(random, 8), beta = floats(random, 8);
  return {"group norm of many chunks", [=](const Kernels& kernels) {
            const auto y = unwritten(size), mean = unwritten(8), rstd = unwritten(8);
            kernels.group_norm_forward({s, x->get(), gamma->get(), beta->get(), y->get(), mean->get(), rstd->get()});
            return Outputs{output("y", *y, 0)};
          }};
}

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {"conv3d", conv3d},           {"group-norm", group_norm},   {"upsample", upsample}, {"dice-ce", dice_cross_entropy},
      {"adam", adam},               {"elementwise", elementwise}, {"channel-sum", channel_sum}, {"softmax", softmax},
  };
  return all;
}

}  // namespace ctflow_test
