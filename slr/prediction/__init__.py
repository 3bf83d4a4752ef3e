"""Does CRC predict? Intervals spread over the CRC plane, each measured on tasks and by lm-eval."""
