import { fileURLToPath } from 'node:url'

/** The project's folder; tests run from dist/test/support. */
export const root = fileURLToPath(new URL('../../../', import.meta.url))
