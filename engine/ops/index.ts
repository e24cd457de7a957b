/** The operations that networks are written in, each on every backend. Importing this loads TensorFlow.js. */

export { adamUpdate, type Adapted } from './adam.ts'
export { scaleChannels } from './channel-dropout.ts'
export { conv3d, convolution } from './conv3d.ts'
export { addSums, diceCrossEntropy, diceCrossEntropyOfEach, diceSums, type BatchSums } from './dice-cross-entropy.ts'
export { head, type HeadParameters } from './head.ts'
export { abandonTape } from './kernel.ts'
export { residualBlock, type BlockParameters } from './residual-block.ts'
export { upsampleAdd } from './upsample.ts'
