/** Entry points of kernels: which invocation does what. */

import { spread } from '../program.ts'

/** Invocations of a workgroup: 256 is what every device has. */
export const lanes = 256

/** `main` with the workgroup's number in `task` and the invocation's in it in `lane`; tasks from `u.tasks` on are none. */
export function taskMain(body: string): string {
  return `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let task = group.x + group.y * groups.x;
  if (task >= u.tasks) { return; }
${body}
}`
}

/** `main` once for each `i` below `u.size`. */
export function elementMain(body: string): string {
  return `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * ${lanes}u + lane;
  if (i >= u.size) { return; }
${body}
}`
}

/** Workgroups for `elementMain`. */
export function elementGroups(size: number): [number, number, number] {
  return spread(Math.ceil(size / lanes))
}

/**
 * Code that joins `count` things in a tree, `body` for each of its levels: what is below `step` takes what lies `step` behind it.
 * A loop, since drivers take long to compile what is written out.
 */
export function tree(count: number, body: string): string {
  if (count === 1) return ''
  const half = 2 ** (Math.ceil(Math.log2(count)) - 1)
  return `
  for (var step = ${half}u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    ${body}
  }`
}

/** Code for each number below `count`, written out. */
export function written(count: number, code: (i: number) => string, separator = '\n'): string {
  return Array.from({ length: count }, (_, i) => code(i)).join(separator)
}
