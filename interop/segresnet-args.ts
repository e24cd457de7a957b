/** The network's options in MONAI's words: the arguments of its SegResNet class. */

import type { SegresnetOptions } from '../model/segresnet.ts'

/** What `monai.networks.nets.SegResNet(**args)` takes; from MONAI 0.5 to today. */
function segresnetArgs(options: SegresnetOptions): Record<string, unknown> {
  return {
    spatial_dims: 3,
    init_filters: options.initFilters,
    in_channels: options.inChannels,
    out_channels: options.outChannels,
    dropout_prob: options.dropout === 0 ? null : options.dropout,
    norm_name: 'group',
    num_groups: options.groups,
    use_conv_final: true,
    blocks_down: [...options.blocksDown],
    blocks_up: [...options.blocksUp],
    upsample_mode: options.upsample,
  }
}

/** The `train_conf` of the published package's checkpoints, as far as the network goes. */
export function trainConfOf(options: SegresnetOptions): object {
  return { train: { model: { name: 'SegResNet', args: segresnetArgs(options) } } }
}
