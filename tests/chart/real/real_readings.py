"""Write a small file of readings that a model can be trained on within seconds."""

from pathlib import Path


def readings(folder: Path) -> Path:
    """Write 1200 rows in which `state` follows from two of three numbers."""
    lines = ["a,b,c,state"]
    for number in range(1200):
        a, b, c = number % 37 / 37, number % 11 / 11, number % 5 / 5
        lines.append(f"{a:.4f},{b:.4f},{c:.4f},{'hot' if a + b > 1.2 else 'fine'}")
    file = folder / "readings.csv"
    file.write_text("\n".join(lines) + "\n")
    return file
