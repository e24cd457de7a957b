/** The codecs' encoders, which only tests use. */

declare module '@cornerstonejs/codec-*/wasmjs' {
  import type { CodecOptions } from '@cornerstonejs/codec-openjpeg/decodewasmjs'
  export interface FrameEncoder {
    /** Memory for the voxels of such a frame. */
    getDecodedBuffer(info: object): Uint8Array
    setNearLossless?(difference: number): void
    setQuality?(quality: boolean | number, rate?: number): void
    encode(): void
    getEncodedBuffer(): Uint8Array
  }
  interface Encoders {
    readonly J2KEncoder: new () => FrameEncoder
    readonly JpegLSEncoder: new () => FrameEncoder
    readonly JPEGEncoder: new () => FrameEncoder
  }
  const create: (options: CodecOptions) => Promise<Encoders>
  export default create
}
