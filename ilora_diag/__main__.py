"""`python -m ilora_diag` is `ilora-diag`."""

from ilora_diag.cli import main

main()
