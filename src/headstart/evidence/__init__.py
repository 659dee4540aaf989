"""Is it good, is it honest: metrics, intervals, calibration, baselines, verdict. Sees arrays only."""
