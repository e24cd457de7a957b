/** Printed with every summary, written beside every mask and into every report. */
export const notice =
  "Not a medical device, not for clinical use. The published test Dice of 0.7109 is NVIDIA's figure on private scans, not a result of this program."
