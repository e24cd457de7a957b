/** The kernels that are our own. All others are TensorFlow.js'. */

import type { KernelConfig } from '@tensorflow/tfjs'
import { adamUpdate } from './adam.ts'
import { conv3dKernels } from './conv3d/index.ts'

export const gpuKernels: readonly KernelConfig[] = [adamUpdate, ...conv3dKernels]
